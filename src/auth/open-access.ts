import type { Access } from '../domain/access/access.ts'
import { EVERYTHING } from '../domain/repository-set.ts'

/** Allows everyone everything, for a registry on loopback without accounts. */
export const openAccess: Access = {
  isOpen: true,
  may: () => true,
  pullable: () => EVERYTHING,
  deletable: () => EVERYTHING,
}
