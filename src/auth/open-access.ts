import type { Access } from '../domain/access.ts'
import { EVERYTHING } from '../domain/repository-set.ts'

/** Everybody may do everything: a registry without accounts, for loopback only. */
export const openAccess: Access = {
  isOpen: true,
  may: () => true,
  pullable: () => EVERYTHING,
  deletable: () => EVERYTHING,
}
