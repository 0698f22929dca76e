import type { Access, Identity } from './access.ts'

/** How each of cay's tokens begins, so that scanners of leaked secrets recognize them. */
export const TOKEN_PREFIX = 'cay_'

/** Who asks, and what they may do. */
export interface Authentication {
  access: Access
  authenticator: Authenticator
  /** `service` is what tokens are for: a constant of the installation. */
  tokens: { service: string }
}

/** Finds out who asks. Each question throws UNAUTHORIZED for a wrong credential, TOOMANYREQUESTS for guesses. */
export interface Authenticator {
  /**
   * By an `Authorization` header; null is anonymous.
   *
   * @param address where the request comes from
   */
  authenticate(header: string | null, address: () => string): Identity | Promise<Identity>
  authenticatePassword(name: string, password: string, address: string): Promise<Identity>
  /** By the refresh token that `/token` gave. */
  authenticateRefresh(secret: string, address: string): Promise<Identity>
}
