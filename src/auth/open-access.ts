import type { Access } from '../domain/access.ts'
import { EVERYTHING } from '../domain/repository-set.ts'

/** Allows everybody everything, for a registry without accounts on loopback. */
export const openAccess: Access = {
  isOpen: true,
  may: () => true,
  pullable: () => EVERYTHING,
  deletable: () => EVERYTHING,
}
