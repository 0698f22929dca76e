import {
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from 'jose'
import type { Metadata } from '../database/metadata.ts'
import { hashSecret } from './passwords.ts'
import type { SigningKeyRow } from './store.ts'

/** How long a token is valid, in seconds. Clients request the next one themselves. */
export const TOKEN_SECONDS = 300

/** The longest lifetime of a token. Longer ones are refused, and a replaced key expires after this. */
export const TOKEN_SECONDS_MAX = 3000

/** The tolerated clock difference, in seconds. */
const CLOCK_SECONDS = 30

const ALGORITHM = 'ES256'
const ISSUER = 'cay'

/** One entry of the `access` claim. */
export interface TokenAccess {
  type: string
  name: string
  actions: string[]
}

export interface TokenClaims {
  /** The account's id; undefined is anonymous. */
  accountId: number | undefined
  /** The id of the token it was issued for. Undefined if issued for a password, with which it expires. */
  credential: string | undefined
  access: TokenAccess[]
}

interface Key {
  kid: string
  privateKey: CryptoKey
  publicKey: CryptoKey
  /** Milliseconds since 1970. Null for the key that signs now. */
  endsAt: number | null
}

/** Signs and verifies short-lived tokens (ES256) with keys stored in the database. The newest key signs. */
export class SignedTokens {
  /** The audience of tokens, a constant of the installation. */
  readonly service: string
  private readonly metadata: Metadata
  private keys: Promise<Key[]> | undefined

  private constructor(metadata: Metadata, service: string) {
    this.metadata = metadata
    this.service = service
    metadata.onStale('signing-keys', () => {
      this.keys = undefined
    })
  }

  /** Opens the service. The first call creates the installation's name and its first key. */
  static async open(metadata: Metadata, now: number): Promise<SignedTokens> {
    if (metadata.credentials.fact('service') === undefined) {
      await metadata.write('addFact', { name: 'service', value: `cay-${crypto.randomUUID()}` })
    }
    if (metadata.credentials.signingKeys().length === 0) {
      const caller = { account: undefined, credential: undefined, address: 'server', requestId: 'start' }
      await metadata.write('addSigningKey', { ...(await newSigningKey()), caller, at: now, othersEndAt: now })
    }
    return new SignedTokens(metadata, metadata.credentials.fact('service') ?? ISSUER)
  }

  /**
   * @param now milliseconds since 1970
   * @param lifetime seconds, at most TOKEN_SECONDS_MAX
   */
  async sign(
    { accountId, credential, access }: TokenClaims,
    now: number,
    lifetime = TOKEN_SECONDS,
  ): Promise<string> {
    const key = (await this.readKeys()).at(-1)
    if (key === undefined) throw new Error('there is no signing key')
    const seconds = Math.floor(now / 1000)
    const proof = credential === undefined ? { password: this.passwordMark(accountId) } : { credential }
    return await new SignJWT({ access, ...proof })
      .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT', kid: key.kid })
      .setIssuer(ISSUER)
      .setAudience(this.service)
      .setSubject(accountId === undefined ? '' : String(accountId))
      .setJti(crypto.randomUUID())
      .setIssuedAt(seconds)
      .setNotBefore(seconds)
      .setExpirationTime(seconds + lifetime)
      .sign(key.privateKey)
  }

  /** Returns the claims and expiry of a valid token of this registry, or undefined for any other. */
  async verify(token: string, now: number): Promise<(TokenClaims & { expiresAt: number }) | undefined> {
    const reading = this.readKeys()
    const keys = (await reading).filter(({ endsAt }) => endsAt === null || endsAt > now)
    let signedBy: Key | undefined
    try {
      const { payload } = await jwtVerify(
        token,
        ({ kid }) => {
          signedBy = keys.find((candidate) => candidate.kid === kid)
          if (signedBy === undefined) throw new Error('unknown key')
          return signedBy.publicKey
        },
        {
          algorithms: [ALGORITHM],
          issuer: ISSUER,
          audience: this.service,
          clockTolerance: CLOCK_SECONDS,
          currentDate: new Date(now),
          requiredClaims: ['exp', 'nbf', 'iat', 'sub'],
        },
      )
      // A key may have been revoked in the meantime.
      if (this.keys !== reading) return await this.verify(token, now)
      return this.claimsOf(payload, signedBy?.endsAt ?? Number.POSITIVE_INFINITY)
    } catch {
      return undefined
    }
  }

  private claimsOf({ sub, exp = 0, iat = 0, credential, password, access }: JWTPayload, keyEndsAt: number) {
    if (!(exp - iat <= TOKEN_SECONDS_MAX)) return undefined
    const accountId = sub ? Number(sub) : undefined
    if (credential === undefined && password !== this.passwordMark(accountId)) return undefined
    return {
      accountId,
      credential: credential as string | undefined,
      access: access as TokenAccess[],
      expiresAt: Math.min(exp * 1000, keyEndsAt),
    }
  }

  /** Returns a value that changes with the account's password and reveals nothing about it. */
  private passwordMark(accountId: number | undefined): string | undefined {
    const hash =
      accountId === undefined ? undefined : this.metadata.accounts.findById(accountId)?.passwordHash
    return hash ? hashSecret(`password ${hash}`).subarray(0, 16).toString('base64url') : undefined
  }

  private readKeys(): Promise<Key[]> {
    this.keys ??= Promise.all(this.metadata.credentials.signingKeys().map(toKey))
    return this.keys
  }
}

/** Generates a key to be stored. */
export async function newSigningKey(): Promise<{ id: string; privateJwk: string }> {
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true })
  return { id: crypto.randomUUID(), privateJwk: JSON.stringify(await exportJWK(privateKey)) }
}

async function toKey(row: SigningKeyRow): Promise<Key> {
  const { d, ...publicJwk } = JSON.parse(row.privateJwk) as Record<string, string>
  return {
    kid: row.id,
    endsAt: row.endsAt,
    privateKey: (await importJWK({ ...publicJwk, d: d ?? '' }, ALGORITHM)) as CryptoKey,
    publicKey: (await importJWK(publicJwk, ALGORITHM)) as CryptoKey,
  }
}
