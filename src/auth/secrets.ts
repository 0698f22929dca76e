import { createHash, randomBytes } from 'node:crypto'
import { TOKEN_PREFIX } from '../domain/access/authentication.ts'

/** 256 random bits. */
const SECRET_BYTES = 32

/** Generates a secret, to be shown once, and the hash to store. */
export function newSecret(): { secret: string; hash: Buffer } {
  const secret = TOKEN_PREFIX + randomBytes(SECRET_BYTES).toString('base64url')
  return { secret, hash: hashSecret(secret) }
}

/** Hashes a secret with SHA-256, which is enough for 256 random bits and fast enough for each request. */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

/** Generates a password that a person can type: 20 characters of 5 bits. */
export function newPassword(): string {
  const letters = 'abcdefghijkmnpqrstuvwxyz23456789'
  return Array.from(randomBytes(20), (byte) => letters[byte & 31]).join('')
}
