import { join } from 'node:path'

/** Returns the path of the file that holds the generated password of the first account. */
export function initialPasswordPath(data: string): string {
  return join(data, 'initial-admin-password')
}
