import type { Access, Identity } from './access.ts'

/** The prefix of cay's tokens, so that scanners for leaked secrets recognize them. */
export const TOKEN_PREFIX = 'cay_'

/** Authentication and authorization. */
export interface Authentication {
  access: Access
  authenticator: Authenticator
  /** `service` is the audience of tokens, which is constant for the installation. */
  tokens: { service: string }
}

/** Authenticates callers. Throws UNAUTHORIZED for a wrong credential and TOOMANYREQUESTS after repeated failures. */
export interface Authenticator {
  /**
   * Authenticates by an `Authorization` header. Null is anonymous.
   *
   * @param address returns the client's address
   */
  authenticate(header: string | null, address: () => string): Identity | Promise<Identity>
  authenticatePassword(name: string, password: string, address: string): Promise<Identity>
  /** Authenticates by a refresh token from `/token`. */
  authenticateRefresh(secret: string, address: string): Promise<Identity>
}
