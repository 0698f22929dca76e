import { afterAll, beforeAll, expect, test } from 'bun:test'
import { generateKeyPair, importJWK, SignJWT, UnsecuredJWT } from 'jose'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { newSigningKey, SignedTokens } from '../../src/accounts/signed-tokens.ts'
import { openMetadata } from '../../src/app/metadata.ts'
import type { Metadata } from '../../src/database/metadata.ts'

const now = Date.UTC(2026, 0, 1)
const seconds = now / 1000
const caller = { account: undefined, credential: undefined, address: 'test', requestId: 'test' }
const claims = {
  accountId: 7,
  credential: undefined,
  access: [{ type: 'repository', name: 'a', actions: ['pull'] }],
}
const resources = new AsyncDisposableStack()
let metadata: Metadata
let tokens: SignedTokens

beforeAll(async () => {
  const folder = resources.use(await temporaryFolder('tokens'))
  metadata = await openMetadata(folder.path, () => {})
  resources.defer(() => metadata.close())
  tokens = await SignedTokens.open(metadata, now)
})
afterAll(() => resources.disposeAsync())

/** Returns a token like this registry's, with some changes. */
function forge(payload: object = {}, header: object = {}) {
  const [{ id = '' } = {}] = metadata.credentials.signingKeys()
  return new SignJWT({
    iss: 'cay',
    aud: tokens.service,
    sub: '7',
    access: claims.access,
    iat: seconds,
    nbf: seconds,
    exp: seconds + 300,
    ...payload,
  }).setProtectedHeader({ alg: 'ES256', kid: id, ...header })
}

async function ownKey() {
  const [row] = metadata.credentials.signingKeys()
  return await importJWK(JSON.parse(row?.privateJwk ?? ''), 'ES256')
}

test('signed tokens: a token is valid until it expires, with 30 seconds of clock tolerance', async () => {
  const token = await tokens.sign(claims, now)
  expect(await tokens.verify(token, now)).toEqual({ ...claims, expiresAt: now + 300_000 })
  expect(await tokens.verify(token, now - 29_000)).toBeDefined()
  expect(await tokens.verify(token, now - 31_000)).toBeUndefined()
  expect(await tokens.verify(token, now + 329_000)).toBeDefined()
  expect(await tokens.verify(token, now + 331_000)).toBeUndefined()
})

test('signed tokens: the forgery helper makes a valid token when it changes nothing', async () => {
  expect(await tokens.verify(await forge().sign(await ownKey()), now)).toBeDefined()
})

test.each<[string, object, object]>([
  ['another audience', { aud: 'registry.example' }, {}],
  ['no audience', { aud: undefined }, {}],
  ['another issuer', { iss: 'other' }, {}],
  ['expired', { exp: seconds - 31 }, {}],
  ['without an end', { exp: undefined }, {}],
  ['not yet valid', { nbf: seconds + 31 }, {}],
  ['without an account', { sub: undefined }, {}],
  ['an unknown key', {}, { kid: 'other' }],
  ['no key', {}, { kid: undefined }],
])('signed tokens: %s is refused', async (_, payload, header) => {
  const token = await forge(payload, header)
    .sign(await ownKey())
    .catch(() => 'cannot be signed')
  expect(await tokens.verify(token, now)).toBeUndefined()
})

test('signed tokens: another key with our key id is refused', async () => {
  const { privateKey } = await generateKeyPair('ES256')
  expect(await tokens.verify(await forge().sign(privateKey), now)).toBeUndefined()
})

test('signed tokens: HS256 with our public key as its secret is refused', async () => {
  const [row] = metadata.credentials.signingKeys()
  const { x, y } = JSON.parse(row?.privateJwk ?? '{}')
  for (const secret of [x, `${x}${y}`, JSON.stringify({ x, y })]) {
    const token = await forge({}, { alg: 'HS256' }).sign(new TextEncoder().encode(secret.padEnd(32, '0')))
    expect(await tokens.verify(token, now)).toBeUndefined()
  }
})

test('signed tokens: the algorithm "none" is refused in every spelling', async () => {
  const token = new UnsecuredJWT({ ...claims, sub: '7' })
    .setIssuer('cay')
    .setAudience(tokens.service)
    .setIssuedAt(seconds)
    .setNotBefore(seconds)
    .setExpirationTime(seconds + 300)
    .encode()
  const [, payload = ''] = token.split('.')
  for (const alg of ['none', 'None', 'NONE', '']) {
    const header = Buffer.from(JSON.stringify({ alg })).toString('base64url')
    expect(await tokens.verify(`${header}.${payload}.`, now)).toBeUndefined()
  }
})

test.each(['', '.', '..', 'a.b.c', 'x'.repeat(100_000)])(
  'signed tokens: text that is not a token is refused: %p',
  async (text) => {
    expect(await tokens.verify(text, now)).toBeUndefined()
  },
)

test('signed tokens: a changed payload is refused', async () => {
  const [header, , signature] = (await tokens.sign(claims, now)).split('.')
  const [, payload] = (await tokens.sign({ ...claims, accountId: 1 }, now)).split('.')
  expect(await tokens.verify(`${header}.${payload}.${signature}`, now)).toBeUndefined()
})

const rotate = async (at: number, seconds: number) =>
  metadata.write('addSigningKey', {
    ...(await newSigningKey()),
    caller,
    at,
    othersEndAt: at + seconds * 1000,
  })

test('signing keys: a new key signs immediately, and tokens of the old one stay valid until it expires', async () => {
  const old = await tokens.sign(claims, now)
  await rotate(now + 60_000, 100)
  const fresh = await tokens.sign(claims, now + 60_000)
  expect(kidOf(fresh)).not.toBe(kidOf(old))
  expect(await tokens.verify(old, now + 159_000)).toMatchObject({ expiresAt: now + 160_000 })
  expect(await tokens.verify(old, now + 160_000)).toBeUndefined()
  expect(await tokens.verify(fresh, now + 160_000)).toBeDefined()
  await metadata.write('removeExpired', { before: now + 161_000 })
  expect(metadata.credentials.signingKeys().map(({ id }) => id)).toEqual([kidOf(fresh)])
})

test('signing keys: tokens of a key that is revoked immediately are refused, even after an ordinary rotation', async () => {
  const first = await tokens.sign(claims, now)
  await rotate(now, 3000)
  const second = await tokens.sign(claims, now)
  await rotate(now, 0)
  for (const token of [first, second]) expect(await tokens.verify(token, now)).toBeUndefined()
  expect(metadata.credentials.signingKeys().length).toBe(1)
})

test('signed tokens: a token with a longer lifetime than this registry issues is refused', async () => {
  const sign = async (seconds_: number) => forge({ exp: seconds + seconds_ }).sign(await ownKey())
  expect(await tokens.verify(await sign(3000), now)).toBeDefined()
  expect(await tokens.verify(await sign(3001), now)).toBeUndefined()
  const backdated = forge({ iat: seconds - 1_000_000 }).sign(await ownKey())
  expect(await tokens.verify(await backdated, now)).toBeUndefined()
})

test('signing keys: keys and the name of the installation survive a restart', async () => {
  const again = await SignedTokens.open(metadata, now + 1)
  expect(again.service).toBe(tokens.service)
  expect(await again.verify(await tokens.sign(claims, now), now)).toBeDefined()
})

function kidOf(token: string): string {
  return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid
}
