import { expect, test } from 'bun:test'
import { type OriginOptions, Origins } from '../../src/http/origin.ts'

function origins(options: Partial<OriginOptions> = {}) {
  return new Origins({ externalUrl: undefined, trustedProxies: [], isTls: false, ...options })
}

function ask(headers: Record<string, string>): Request {
  return new Request('http://localhost/v2/', { headers: { host: 'cay.example:5000', ...headers } })
}

const PROXY = '10.1.2.3'
const FORWARDED = {
  forwarded: 'for=198.51.100.7;proto=https;host=registry.example',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'registry.example',
  'x-forwarded-for': '198.51.100.7',
}

test('public address: it is the host of the request, with the scheme of the connection', () => {
  expect(origins().of(ask({}), '192.0.2.1')).toBe('http://cay.example:5000')
  expect(origins({ isTls: true }).of(ask({}), '192.0.2.1')).toBe('https://cay.example:5000')
})

test('public address: external-url overrides everything', () => {
  const fixed = origins({ externalUrl: 'https://fixed.example', trustedProxies: [PROXY] })
  expect(fixed.of(ask(FORWARDED), PROXY)).toBe('https://fixed.example')
})

test('public address: forwarding headers are used only from trusted proxies', () => {
  const some = origins({ trustedProxies: ['10.0.0.0/8', 'fd00::/8'] })
  for (const peer of [PROXY, '::ffff:10.1.2.3', 'fd00::1']) {
    expect(some.of(ask(FORWARDED), peer)).toBe('https://registry.example')
    expect(some.clientOf(ask(FORWARDED), peer)).toBe('198.51.100.7')
  }
  for (const peer of ['192.0.2.1', '11.0.0.1', '::1', '']) {
    expect(some.of(ask(FORWARDED), peer)).toBe('http://cay.example:5000')
    expect(some.clientOf(ask(FORWARDED), peer)).toBe(peer)
  }
})

test.each<[Record<string, string>, string]>([
  [{ forwarded: 'proto=https' }, 'https://cay.example:5000'],
  [{ forwarded: 'Host="a.example:8443";Proto=https, host=b.example' }, 'https://a.example:8443'],
  [{ 'x-forwarded-proto': 'https' }, 'https://cay.example:5000'],
  [{ 'x-forwarded-host': 'a.example, b.example' }, 'http://a.example'],
  [{ 'x-forwarded-proto': 'gopher' }, 'http://cay.example:5000'],
  [{ 'x-forwarded-host': 'a"b' }, 'http://cay.example:5000'],
  [{ 'x-forwarded-host': '99999999999999999999' }, 'http://cay.example:5000'],
  [{ 'x-forwarded-host': 'a.example:99999' }, 'http://cay.example:5000'],
  [{ forwarded: ';;=,,' }, 'http://cay.example:5000'],
])('%j is %s', (headers, expected) => {
  expect(origins({ trustedProxies: [PROXY] }).of(ask(headers), PROXY)).toBe(expected)
})

test.each<[Record<string, string>, string]>([
  [{ 'x-forwarded-for': '198.51.100.7, 10.9.9.9' }, '198.51.100.7'],
  [{ 'x-forwarded-for': '203.0.113.1, 198.51.100.7' }, '198.51.100.7'],
  [{ 'x-forwarded-for': 'made up' }, PROXY],
  [{ forwarded: 'for="[2001:db8::7]:4711"' }, '2001:db8::7'],
  [{ forwarded: 'for=203.0.113.1, for="198.51.100.7:80"' }, '198.51.100.7'],
])('%j comes from %s', (headers, expected) => {
  expect(origins({ trustedProxies: ['10.0.0.0/8'] }).clientOf(ask(headers), PROXY)).toBe(expected)
})

test('public address: if a proxy sets X-Forwarded-*, Forwarded is ignored, because it comes from the client', () => {
  const request = ask({
    forwarded: 'proto=http;host=evil.example;for=203.0.113.9',
    'x-forwarded-proto': 'https',
    'x-forwarded-for': '198.51.100.7',
  })
  const some = origins({ trustedProxies: [PROXY] })
  expect(some.of(request, PROXY)).toBe('https://cay.example:5000')
  expect(some.clientOf(request, PROXY)).toBe('198.51.100.7')
})

test('public address: a host that would break out of the challenge is not repeated', () => {
  const request = { headers: { get: (name: string) => (name === 'host' ? 'x",error="' : null) } }
  expect(origins().of(request as unknown as Request, '192.0.2.1')).toBe('http://localhost')
})

test.each(['10.0.0.0/33', 'proxy.example', '', 'fd00::/129', '10.0.0.0/x'])('%j is no proxy', (network) => {
  expect(() => origins({ trustedProxies: [network] })).toThrow(
    `trusted-proxies names ${JSON.stringify(network)}`,
  )
})

test('public address: of thousands of hops, only the first one and the nearest ones are read', () => {
  const trusting = origins({ trustedProxies: [PROXY] })
  const hops = ['198.51.100.1', ...Array<string>(5000).fill(PROXY)]
  const far = ask({ 'x-forwarded-for': hops.join(', '), 'x-forwarded-proto': 'https' })
  expect(trusting.clientOf(far, PROXY)).toBe(PROXY)
  expect(trusting.of(far, PROXY)).toBe('https://cay.example:5000')
  const near = ask({ forwarded: `proto=https, ${'for=x, '.repeat(1000)}for=198.51.100.2, for=${PROXY}` })
  expect(trusting.clientOf(near, PROXY)).toBe('198.51.100.2')
  expect(trusting.of(near, PROXY)).toBe('https://cay.example:5000')
})
