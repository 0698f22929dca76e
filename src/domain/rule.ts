export type Role = 'reader' | 'writer' | 'admin'

/** What one grant says. */
export interface Rule {
  pattern: string
  role: Role
}
