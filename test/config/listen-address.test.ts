import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { isLoopback, parseListenAddress, refuseToListen } from '../../src/config/values.ts'
import { longInputs, millisecondsOf } from '../support/parsing.ts'

test.each([
  ['127.0.0.1:5000', { host: '127.0.0.1', port: 5000 }, true],
  ['127.1.2.3:1', { host: '127.1.2.3', port: 1 }, true],
  ['localhost:0', { host: 'localhost', port: 0 }, true],
  ['[::1]:5000', { host: '::1', port: 5000 }, true],
  [':5000', { host: '', port: 5000 }, false],
  ['0.0.0.0:5000', { host: '0.0.0.0', port: 5000 }, false],
  ['[::]:5000', { host: '::', port: 5000 }, false],
  ['[::ffff:10.0.0.1]:65535', { host: '::ffff:10.0.0.1', port: 65_535 }, false],
  ['registry.example:443', { host: 'registry.example', port: 443 }, false],
  ['127.0.0.1.example.org:80', { host: '127.0.0.1.example.org', port: 80 }, false],
])('%s', (text, address, loopback) => {
  expect(parseListenAddress(text)).toEqual(address)
  expect(isLoopback(address)).toBe(loopback)
})

test.each([
  '',
  '5000',
  'localhost',
  'localhost:',
  '::1:5000',
  '127.0.0.1:65536',
  '127.0.0.1:-1',
  '127.0.0.1:1x',
  '[::1]',
  'a:b:1',
])('%j is refused with what is expected', (text) =>
  expect(() => parseListenAddress(text)).toThrow(`listen is ${JSON.stringify(text)}: expected HOST:PORT`),
)

test('listen: any text is parsed or refused, in linear time', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.tuple(fc.string(), fc.nat(99_999)).map(([host, port]) => `${host}:${port}`),
      ),
      (text) => {
        try {
          const { port } = parseListenAddress(text)
          expect(port).toBeLessThan(65_536)
        } catch (error) {
          expect((error as Error).message).toStartWith('listen is ')
        }
      },
    ),
  )
  for (const text of longInputs(100_000)) {
    expect(
      millisecondsOf(() => {
        try {
          parseListenAddress(text)
        } catch {}
      }),
    ).toBeLessThan(20)
  }
})

test.each([
  ['127.0.0.1:5000,[::1]:5000', 'open', false, undefined],
  ['127.0.0.1:5000', 'open', true, undefined],
  ['127.0.0.1:5000', 'accounts', false, undefined],
  ['127.0.0.1:5000', 'accounts', true, undefined],
  ['127.0.0.1:5000,0.0.0.0:5000', 'open', false, 'access is open'],
  ['0.0.0.0:5000', 'open', true, 'access is open'],
  ['0.0.0.0:5000', 'accounts', false, '--tls auto'],
  ['127.0.0.1:5000,registry.example:443', 'accounts', true, undefined],
] as const)('listening on %s with access = %s and a TLS choice: %p', (listen, access, hasTlsChoice, why) => {
  const refusal = refuseToListen(listen.split(',').map(parseListenAddress), { access, hasTlsChoice })
  if (why === undefined) expect(refusal).toBeUndefined()
  else expect(refusal).toContain(why)
})
