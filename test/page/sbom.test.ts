import { expect, test } from 'bun:test'
import { PACKAGES_MAX, readSbom } from '../../src/page/values/sbom.ts'

const spdx = {
  spdxVersion: 'SPDX-2.3',
  packages: [
    {
      name: 'musl',
      versionInfo: '1.2.5',
      licenseConcluded: 'NOASSERTION',
      licenseDeclared: 'MIT',
      externalRefs: [{ referenceType: 'purl', referenceLocator: 'pkg:apk/alpine/musl@1.2.5' }],
    },
  ],
}
const musl = { name: 'musl', version: '1.2.5', license: 'MIT', source: 'pkg:apk/alpine/musl@1.2.5' }

test('page: packages are read from SPDX, CycloneDX and Syft', () => {
  expect(readSbom(JSON.stringify(spdx))).toEqual([musl])
  const licenses = [{ license: { id: 'MIT' } }]
  const cycloneDx = { bomFormat: 'CycloneDX', components: [{ ...musl, purl: musl.source, licenses }] }
  expect(readSbom(JSON.stringify(cycloneDx))).toEqual([musl])
  const syft = { artifacts: [{ ...musl, purl: musl.source, licenses: [{ value: 'MIT' }] }] }
  expect(readSbom(JSON.stringify(syft))).toEqual([musl])
})

test('page: packages are read from an attestation', () => {
  const statement = { _type: 'https://in-toto.io/Statement/v1', predicate: spdx }
  expect(readSbom(JSON.stringify(statement))).toEqual([musl])
  expect(readSbom(JSON.stringify({ payload: btoa(JSON.stringify(statement)) }))).toEqual([musl])
})

test('page: other documents have no packages, and a malformed SBOM has those that can be read', () => {
  for (const text of ['', '[]', '{}', 'null', '{"payload":"%"}']) expect(readSbom(text)).toBeUndefined()
  const broken = { spdxVersion: 'SPDX-2.3', packages: [1, null, { name: 7 }, { name: 'zlib' }] }
  expect(readSbom(JSON.stringify(broken))?.map(({ name }) => name)).toEqual(['', 'zlib'])
})

test('page: only the first packages of a huge SBOM are read', () => {
  const huge = { spdxVersion: 'SPDX-2.3', packages: Array.from({ length: PACKAGES_MAX + 1 }, () => ({})) }
  expect(readSbom(JSON.stringify(huge))).toHaveLength(PACKAGES_MAX)
})
