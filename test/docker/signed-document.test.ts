import { describe, expect, test } from 'bun:test'
import { createPublicKey } from 'node:crypto'
import { join } from 'node:path'
import fc from 'fast-check'
import {
  keyId,
  newSigningKey,
  parseSignedDocument,
  readSigningKey,
  signDocument,
  verifySignatures,
} from '../../src/docker/signed-document.ts'
import { digestOf } from '../support/content.ts'
import { schema1Text, signed, spliced, testKey } from '../support/jws.ts'
import { openssl } from '../support/openssl.ts'
import { codeOf, longInputs } from '../support/parsing.ts'

const AT = Date.UTC(2026, 0, 2, 3, 4, 5)
const layer = digestOf(Uint8Array.of(1))
const text = schema1Text('a/b', 'ünï', [layer, layer])
const payload = new TextEncoder().encode(text)
const ours = readSigningKey(newSigningKey())
const es256 = testKey('ES256')
const es384 = testKey('ES384')

const parse = (bytes: Uint8Array) => parseSignedDocument(bytes)
const check = (bytes: Uint8Array) => verifySignatures(parse(bytes))
/** Returns the document with another header and a valid signature. */
const withHeader = (header: object) => signed(text, [es256], { header })
const withFormat = (format: object) => signed(text, [es256], { format })

describe("a manifest that Docker's own registry has signed", () => {
  const read = async () => Bun.file(join(import.meta.dir, '../fixtures/schema1/signed.json')).bytes()

  test('verifies, and has the expected digest of bytes, not of characters', async () => {
    const document = parse(await read())
    verifySignatures(document)
    expect(digestOf(document.payload)).toBe(
      'sha256:046af3d0f9ad4d31bf8b0a29fc9dbf4a4eaf8e650c1ed00a004873a82880a9af',
    )
  })

  test('does not verify when one byte differs', async () => {
    const bytes = await read()
    bytes[bytes.indexOf('b'.charCodeAt(0))] = 'B'.charCodeAt(0)
    expect(codeOf(() => check(bytes))).toBe('MANIFEST_UNVERIFIED')
  })

  test('has the same key id as ours', async () => {
    const [signature] = parse(await read()).signatures
    const { kid, ...jwk } = signature!.header.jwk as { kid: string }
    expect(keyId(createPublicKey({ key: jwk, format: 'jwk' }))).toBe(kid)
  })
})

test("a key id: the specification's example key has the id given there", () => {
  const x = '3gAwX48IQ5oaYQAYSxor6rYYc_6yjuLCjtQ9LUakg4A'
  const y = 't72ge6kIA1XOjqjVoEOiPPAURltJFBMGDSQvEGVB010'
  const key = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' })
  expect(keyId(key)).toBe('OD6I:6DRK:JXEJ:KBM4:255X:NSAA:MUSF:E4VM:ZI6W:CUN2:L4Z6:LSF4')
})

describe('signatures of others', () => {
  test.each(['ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512'])('%s verifies', (alg) => {
    const bytes = signed(text, [testKey(alg)])
    check(bytes)
    expect(Buffer.from(parse(bytes).payload).equals(payload)).toBe(true)
  })

  test('several verify, and all of them must', () => {
    check(signed(text, [es256, es384, testKey('RS256')]))
    const other = { ...es256, privateKey: testKey('ES256').privateKey }
    expect(codeOf(() => check(signed(text, [es384, other])))).toBe('MANIFEST_UNVERIFIED')
  })

  test('the key can come from a certificate', async () => {
    const pem = es256.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    const request = ['req', '-x509', '-new', '-key', '/dev/stdin', '-subj', '/CN=test', '-days', '9']
    const { output } = await openssl(request, pem)
    const x5c = [output.replace(/-----[^-]+-----|\n/g, ''), 'not read']
    check(withHeader({ alg: 'ES256', x5c }))
    expect(codeOf(() => check(signed(text, [es384], { header: { alg: 'ES256', x5c } })))).toBe(
      'MANIFEST_UNVERIFIED',
    )
  })

  test('a document without signatures is its own payload', () => {
    expect(parse(payload)).toEqual({ payload, signatures: [] })
  })
})

describe('ours', () => {
  test.each([
    ['a document in the usual form', text],
    ['on one line', '{"schemaVersion":1,"name":"🐳"}'],
    ['with white space about it', ' \n{ "a" : 1 }\r\n\t '],
  ])('verify: %s', (_, document) => {
    const bytes = signDocument(Buffer.from(document), ours, AT)
    check(bytes)
    expect(Buffer.from(parse(bytes).payload).toString()).toBe(document)
    expect(JSON.parse(Buffer.from(bytes).toString())).toMatchObject(JSON.parse(document))
  })

  test('always have the same length, and do not change the payload', () => {
    const [one, two] = [signDocument(payload, ours, AT), signDocument(payload, ours, AT + 9_999_000)]
    expect(one.length).toBe(two.length)
    expect(parse(one).payload).toEqual(parse(two).payload)
  })
})

describe('MANIFEST_INVALID', () => {
  const [block] = JSON.parse(Buffer.from(signed(text, [es256])).toString()).signatures
  const withBlock = (more: object) => spliced(payload, [{ ...block, ...more }])
  const twice = Buffer.from(signed(text, [es256])).toString()

  test.each<[name: string, bytes: Uint8Array]>([
    ['no signature in the list', spliced(payload, [])],
    ['no list', spliced(payload, {})],
    ['null', spliced(payload, null)],
    ['seventeen signatures', spliced(payload, Array(17).fill(block))],
    ['no header', withBlock({ header: undefined })],
    ['a protected header that is not base64url', withBlock({ protected: '%' })],
    ['a protected header that is no JSON', withBlock({ protected: 'e30e' })],
    ['a signature that is a number', withBlock({ signature: 7 })],
    ['no formatLength', withFormat({ formatLength: undefined })],
    ['a formatLength of nothing', withFormat({ formatLength: 0 })],
    ['a negative one', withFormat({ formatLength: -2 })],
    ['a broken one', withFormat({ formatLength: 1.5 })],
    ['one beyond the end', withFormat({ formatLength: 1e9 })],
    ['one that is a string', withFormat({ formatLength: '100' })],
    ['one within the document', withFormat({ formatLength: 20 })],
    ['one within a character', withFormat({ formatLength: text.indexOf('ü') + 1 })],
    ['another tail', withFormat({ formatTail: Buffer.from('\n]').toString('base64url') })],
    ['a tail with more in it', withFormat({ formatTail: Buffer.from(',"a":1}').toString('base64url') })],
    ['no tail', withFormat({ formatTail: undefined })],
    [
      'a field put in before the signatures',
      Buffer.from(twice.replace('"signatures"', '"tag": "x", "signatures"')),
    ],
    ['one put in after them', Buffer.from(twice.replace(/\n}$/, ',"tag":"x"\n}'))],
    ['the signatures twice', Buffer.from(twice.replace('"signatures"', '"signatures": [], "signatures"'))],
    ['signatures that were there before', signed(text.replace('"tag"', '"signatures": [], "tag"'), [es256])],
    ['a key that is none', withHeader({ alg: 'ES256', jwk: { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' } })],
    ['a key of another kind', withHeader({ alg: 'ES256', jwk: { kty: 'OKP', crv: 'Ed25519', x: 'AA' } })],
    ["another key's name", withHeader({ alg: 'ES256', jwk: { ...es256.jwk, kid: 'AAAA' } })],
    ['a certificate that is none', withHeader({ alg: 'ES256', x5c: ['AAAA'] })],
    ['a certificate that is a number', withHeader({ alg: 'ES256', x5c: [1] })],
    ['no JSON', Buffer.from('{')],
    ['a list', Buffer.from('[]')],
    ['bytes that are not UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d)],
  ])('%s', (_, bytes) => expect(codeOf(() => check(bytes))).toBe('MANIFEST_INVALID'))

  test('signatures with different formatLength or formatTail', () => {
    const [one, two] = [signed(text, [es256]), withFormat({ formatLength: 20 })].map(
      (bytes) => JSON.parse(Buffer.from(bytes).toString()).signatures[0],
    )
    expect(() => parse(spliced(payload, [one, two]))).toThrow(/different values of formatLength/)
  })
})

describe('MANIFEST_UNVERIFIED', () => {
  test.each<[name: string, header: object]>([
    ['no key', { alg: 'ES256' }],
    ['no algorithm', { jwk: es256.jwk }],
    ['an algorithm that nobody knows', { alg: 'none', jwk: es256.jwk }],
    ['a symmetric one', { alg: 'HS256', jwk: es256.jwk }],
    ['one that is a property of every object', { alg: 'constructor', jwk: es256.jwk }],
    ['one for another curve', { alg: 'ES384', jwk: es256.jwk }],
    ['one for another kind of key', { alg: 'RS256', jwk: es256.jwk }],
    ['another key', { alg: 'ES256', jwk: testKey('ES256').jwk }],
  ])('%s', (_, header) => expect(codeOf(() => check(withHeader(header)))).toBe('MANIFEST_UNVERIFIED'))

  test('a truncated signature', () => {
    const document = JSON.parse(Buffer.from(signed(text, [es256])).toString())
    document.signatures[0].signature = document.signatures[0].signature.slice(0, 40)
    expect(codeOf(() => check(spliced(payload, document.signatures)))).toBe('MANIFEST_UNVERIFIED')
  })
})

describe('any document', () => {
  const run = (bytes: Uint8Array) => codeOf(() => check(bytes))
  const codes = ['none', 'MANIFEST_INVALID', 'MANIFEST_UNVERIFIED']
  const block = fc.record(
    {
      header: fc.oneof(
        fc.record({
          alg: fc.constantFrom('ES256', 'RS512'),
          jwk: fc.constantFrom<unknown>(es256.jwk, {}, 1),
        }),
        fc.jsonValue(),
      ),
      signature: fc.oneof(fc.base64String(), fc.jsonValue()),
      protected: fc
        .oneof(
          fc.record({ formatLength: fc.integer(), formatTail: fc.constantFrom('Cn0', '!', '') }),
          fc.jsonValue(),
        )
        .map((format) => Buffer.from(JSON.stringify(format)).toString('base64url')),
    },
    { requiredKeys: [] },
  )

  test('is verified, or refused with a RegistryError', () => {
    fc.assert(
      fc.property(fc.oneof(fc.array(block, { maxLength: 3 }), fc.jsonValue()), (signatures) => {
        expect(codes).toContain(run(spliced(payload, signatures)))
      }),
      { numRuns: 1000 },
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((it) => Buffer.from(it)),
        ),
        (bytes) => {
          expect(codes).toContain(run(bytes))
        },
      ),
    )
  })

  test('that is a non-empty JSON object can be signed and separated again', () => {
    const documents = fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 })
    fc.assert(
      fc.property(documents, fc.constantFrom(undefined, 1, 3, '\t'), (document, indent) => {
        fc.pre(!('signatures' in document))
        const bytes = Buffer.from(JSON.stringify(document, undefined, indent))
        const all = signDocument(bytes, ours, AT)
        check(all)
        expect(Buffer.from(parse(all).payload).equals(bytes)).toBe(true)
      }),
    )
  })

  test('with a long run of one character is parsed in linear time', () => {
    for (const long of longInputs(100_000)) {
      for (const part of [{ protected: long }, { signature: long }, { header: { alg: long } }]) {
        const [block] = JSON.parse(Buffer.from(signed(text, [es256])).toString()).signatures
        expect(codes).toContain(run(spliced(payload, [{ ...block, ...part }])))
      }
    }
    const spaces = Buffer.from(`${text.slice(0, -2)}${' '.repeat(1e6)},${' '.repeat(1e6)}"signatures":[]}`)
    expect(run(spaces)).toBe('MANIFEST_INVALID')
  }, 60_000)
})
