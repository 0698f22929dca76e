export type Role = 'reader' | 'writer' | 'admin'

/** A role on the repositories of a pattern, as in a grant. */
export interface Rule {
  pattern: string
  role: Role
}
