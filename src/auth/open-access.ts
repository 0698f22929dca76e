import { EVERYTHING } from '../metadata/content/pullable.ts'
import type { Access } from './access.ts'

/** Everybody may do everything: a registry without accounts, for loopback only. */
export const openAccess: Access = {
  isOpen: true,
  may: () => true,
  pullable: () => EVERYTHING,
  deletable: () => EVERYTHING,
}
