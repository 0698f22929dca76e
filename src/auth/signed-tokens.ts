import { type CryptoKey, exportJWK, generateKeyPair, importJWK, jwtVerify, SignJWT } from 'jose'
import type { Metadata } from '../metadata/metadata.ts'

/** Seconds that a token lives; clients ask for the next one by themselves. */
export const TOKEN_SECONDS = 300

/** Clocks may differ by so many seconds. */
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
  /** The credential that it was had with, when that was a token. */
  credential: string | undefined
  access: TokenAccess[]
}

interface Key {
  kid: string
  privateKey: CryptoKey
  publicKey: CryptoKey
}

/** Signs and verifies short-lived tokens (ES256), with keys that the database keeps. The newest key signs. */
export class SignedTokens {
  readonly service: string
  private readonly keys: Key[]

  private constructor(service: string, keys: Key[]) {
    this.service = service
    this.keys = keys
  }

  /** Reads the keys, or makes the first one, and the name of this installation, which tokens are for. */
  static async open(metadata: Metadata, now: number): Promise<SignedTokens> {
    if (metadata.credentials.fact('service') === undefined) {
      await metadata.write('addFact', { name: 'service', value: `cay-${crypto.randomUUID()}` })
    }
    if (metadata.credentials.signingKeys().length === 0) await rotateSigningKey(metadata, now)
    const keys = await Promise.all(metadata.credentials.signingKeys().map(toKey))
    return new SignedTokens(metadata.credentials.fact('service') ?? ISSUER, keys)
  }

  /** @param now milliseconds since 1970 */
  async sign({ accountId, credential, access }: TokenClaims, now: number): Promise<string> {
    const key = this.keys.at(-1)
    if (key === undefined) throw new Error('there is no signing key')
    const seconds = Math.floor(now / 1000)
    return await new SignJWT({ access, ...(credential === undefined ? {} : { credential }) })
      .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT', kid: key.kid })
      .setIssuer(ISSUER)
      .setAudience(this.service)
      .setSubject(accountId === undefined ? '' : String(accountId))
      .setJti(crypto.randomUUID())
      .setIssuedAt(seconds)
      .setNotBefore(seconds)
      .setExpirationTime(seconds + TOKEN_SECONDS)
      .sign(key.privateKey)
  }

  /** The claims of a token of ours that is in force, and when it ends; undefined for any other one. */
  async verify(token: string, now: number): Promise<(TokenClaims & { expiresAt: number }) | undefined> {
    try {
      const { payload } = await jwtVerify(
        token,
        ({ kid }) => {
          const key = this.keys.find((candidate) => candidate.kid === kid)
          if (key === undefined) throw new Error('unknown key')
          return key.publicKey
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
      return {
        accountId: payload.sub ? Number(payload.sub) : undefined,
        credential: payload.credential as string | undefined,
        access: payload.access as TokenAccess[],
        expiresAt: (payload.exp ?? 0) * 1000,
      }
    } catch {
      return undefined
    }
  }
}

/** Makes a new key, which signs from the next start on; tokens of the others stay good until they end. */
export async function rotateSigningKey(metadata: Metadata, now: number): Promise<void> {
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true })
  const privateJwk = JSON.stringify(await exportJWK(privateKey))
  await metadata.write('addSigningKey', { id: crypto.randomUUID(), privateJwk, createdAt: now })
}

async function toKey(row: { id: string; privateJwk: string }): Promise<Key> {
  const { d, ...publicJwk } = JSON.parse(row.privateJwk) as Record<string, string>
  return {
    kid: row.id,
    privateKey: (await importJWK({ ...publicJwk, d: d ?? '' }, ALGORITHM)) as CryptoKey,
    publicKey: (await importJWK(publicJwk, ALGORITHM)) as CryptoKey,
  }
}
