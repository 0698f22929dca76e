import type { Access } from '../core/access.ts'
import { EVERYTHING } from '../metadata/content/pullable.ts'

/** Everybody may do everything: a registry without accounts, for loopback only. */
export const openAccess: Access = {
  isOpen: true,
  may: () => true,
  pullable: () => EVERYTHING,
  deletable: () => EVERYTHING,
}
