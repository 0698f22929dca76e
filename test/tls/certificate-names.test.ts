import { expect, test } from 'bun:test'
import { parseTlsChoice } from '../../src/config/values.ts'
import { certificateNames, coversNames } from '../../src/tls/tls.ts'

test('certificate names: loopback, the host, its addresses, and the setting are covered', () => {
  const names = certificateNames({
    hostname: 'Box.Example',
    addresses: ['127.0.0.1', '10.0.0.7', 'fe80::1', '169.254.1.1', '::1', 'FD00::0007'],
    named: ['registry.example', '*.lab.example', '192.0.2.1', '2001:DB8::1', 'registry.example'],
  })
  expect(names).toEqual({
    dns: ['localhost', 'box.example', 'registry.example', '*.lab.example'],
    addresses: ['127.0.0.1', '::1', '10.0.0.7', 'fd00::7', '192.0.2.1', '2001:db8::1'],
  })
})

test('certificate names: a host name that is not valid in DNS is left out', () => {
  expect(certificateNames({ hostname: 'my_box', addresses: [], named: [] }).dns).toEqual(['localhost'])
})

test.each(['a:5000', 'http://a', '', 'a b', 'a..b', '-a', 'a\r\nb', `${'a'.repeat(64)}`])(
  'certificate names: host %j is refused',
  (name) => {
    expect(() => certificateNames({ hostname: 'box', addresses: [], named: [name] })).toThrow(
      `host: ${JSON.stringify(name)} is neither a name nor an address`,
    )
  },
)

test('certificate names: a certificate may cover more than is wanted', () => {
  const there = { dns: ['a', 'b'], addresses: ['::1'] }
  expect(coversNames(there, { dns: ['b'], addresses: [] })).toBe(true)
  expect(coversNames(there, { dns: ['b', 'c'], addresses: [] })).toBe(false)
  expect(coversNames(there, { dns: [], addresses: ['127.0.0.1'] })).toBe(false)
})

test('the setting tls: its choices are parsed', () => {
  expect(parseTlsChoice(undefined)).toEqual({ kind: 'off' })
  expect(parseTlsChoice('off')).toEqual({ kind: 'off' })
  expect(parseTlsChoice('auto')).toEqual({ kind: 'auto' })
  const files = { certificate: '/a.pem', key: '/b.pem' }
  expect(parseTlsChoice('/a.pem, /b.pem')).toEqual({ kind: 'files', files })
  for (const text of ['', 'on', '/a.pem', '/a.pem,', ',/b.pem', 'a,b,c'])
    expect(() => parseTlsChoice(text)).toThrow(`tls is ${JSON.stringify(text)}: expected off, auto`)
})
