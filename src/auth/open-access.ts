import { EVERYTHING } from '../metadata/repositories.ts'
import type { Access } from '../registry/access.ts'

/** Everybody may do everything: for a registry without accounts, which listens on loopback only. */
export const openAccess: Access = {
  may: () => true,
  pullable: () => EVERYTHING,
}
