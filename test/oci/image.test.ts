import { expect, test } from 'bun:test'
import { findPlatform, readImage } from '../../src/oci/image.ts'
import { descriptor, imageIndex, imageManifest, json, named, OCI_MANIFEST } from '../support/content.ts'
import { codeOf } from '../support/parsing.ts'

const [one, two] = [named('one'), named('two')]
const amd64 = { os: 'linux', architecture: 'amd64' }
const entry = (content: string, platform?: unknown) => descriptor(named(content), OCI_MANIFEST, { platform })

test('an image has its layers in order, and each as often as it is there', () => {
  const image = readImage(imageManifest(one, [two, one, two], { artifactType: 'a/b' }).bytes)
  expect<string | undefined>(image.config?.digest).toBe(one.digest)
  expect<string[]>(image.layers.map(({ digest }) => digest)).toEqual([two.digest, one.digest, two.digest])
  expect(image.artifactType).toBe('a/b')
  expect(readImage(json({ artifactType: 7 }).bytes)).toEqual({
    config: undefined,
    layers: [],
    artifactType: undefined,
  })
})

test.each<[name: string, entries: ReturnType<typeof entry>[], found: string | undefined]>([
  ['the only one', [entry('a', { os: 'linux', architecture: 'arm64' }), entry('b', amd64)], 'b'],
  ['the first of many', [entry('a', amd64), entry('b', amd64)], 'a'],
  ['one without a variant', [entry('a', { ...amd64, variant: 'v3' }), entry('b', amd64)], 'b'],
  ['one with a variant', [entry('a', { ...amd64, variant: 'v2' })], 'a'],
  ['none without a platform', [entry('a'), entry('b', null), entry('c', 'linux')], undefined],
  ['none of another system', [entry('a', { os: 'windows', architecture: 'amd64' })], undefined],
  ['none of an attestation', [entry('a', { os: 'unknown', architecture: 'unknown' })], undefined],
  ['none', [], undefined],
])('of an index, %s', (_, entries, found) => {
  const digest = found === undefined ? undefined : named(found).digest
  expect<string | undefined>(findPlatform(imageIndex(entries).bytes, amd64)?.digest).toBe(digest)
})

test('what is no index is refused', () => {
  const find = (document: unknown) => codeOf(() => findPlatform(json(document).bytes, amd64))
  expect(find({ manifests: [null] })).toBe('MANIFEST_INVALID')
  expect(find([])).toBe('MANIFEST_INVALID')
  expect(find({})).toBe('none')
})
