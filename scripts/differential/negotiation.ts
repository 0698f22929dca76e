import { deepEqual, equal, match } from 'node:assert/strict'
import { parseSignedDocument, verifySignatures } from '../../src/docker/signed-document.ts'
import { type Answer, ask } from '../formats/registry-http.ts'
import { type Format, makeSamples, mediaTypes, type Sample } from '../formats/samples.ts'
import { type Descriptor, sha256 } from '../lib/image.ts'
import { Registry } from '../lib/registry.ts'
import type { Cases, Registries } from './registries.ts'

/** The result of a pull by tag: the pushed bytes, the amd64 image of an index, or a conversion to schema 1. */
type Outcome = 'stored' | 'child' | 'schema1' | 'unsigned schema1' | '404'

/** The result of both registries, or the result of each and the reason for the difference. */
type Expected = Outcome | { cay: Outcome; peer: Outcome; why: string }

const { schema1, schema2, list, oci, index } = mediaTypes
const unsigned = 'application/vnd.docker.distribution.manifest.v1+json'
const json = 'application/json'

/** A client: its User-Agent, and its Accept header. */
const ASKERS = {
  'curl: nothing': { agent: 'curl/8.0' },
  'curl: */*': { agent: 'curl/8.0', accept: '*/*' },
  'curl: application/json': { agent: 'curl/8.0', accept: json },
  'curl: application/*': { agent: 'curl/8.0', accept: 'application/*' },
  'curl: text/html': { agent: 'curl/8.0', accept: 'text/html' },
  'schema 1': { agent: 'x/1', accept: schema1 },
  'schema 1 without signatures': { agent: 'x/1', accept: unsigned },
  'schema 2': { agent: 'x/1', accept: schema2 },
  'schema 2 and lists': { agent: 'x/1', accept: `${schema2}, ${list}` },
  lists: { agent: 'x/1', accept: list },
  OCI: { agent: 'x/1', accept: oci },
  'OCI and indexes': { agent: 'x/1', accept: `${oci}, ${index}` },
  indexes: { agent: 'x/1', accept: index },
  'containerd: all, and */*': {
    agent: 'containerd/1.7',
    accept: [schema2, list, oci, index, '*/*'].join(', '),
  },
  'docker 1.9: nothing': { agent: 'docker/1.9.1 go/go1.4.2' },
  'docker 1.9: */*': { agent: 'docker/1.9.1 go/go1.4.2', accept: '*/*' },
  'docker 1.10: schema 1 and 2, lists': {
    agent: 'docker/1.10.3 go/go1.5.3',
    accept: [schema2, list, schema1, json].join(', '),
  },
  'docker 1.10: nothing': { agent: 'docker/1.10.3 go/go1.5.3' },
} satisfies Record<string, { agent: string; accept?: string }>

type Principal = keyof typeof ASKERS

const asStored = 'a client without Accept gets the pushed manifest, as the OCI specification says'
const namesNoSchema1 = 'only who names schema 1, or an old Docker, gets it'
const noOci = 'OCI content is given, converted or as it is, where the peer hides it'

const storedNotSchema1 = (why: string): Expected => ({ cay: 'stored', peer: 'schema1', why })
const givenNotHidden = (cay: Outcome): Expected => ({ cay, peer: '404', why: noOci })
const unsignedAsAsked: Exclude<Expected, Outcome> = {
  cay: 'unsigned schema1',
  peer: 'schema1',
  why: 'who reads only manifests without signatures gets one',
}

/** A manifest of Docker that can be converted. The peer converts for everybody who does not name schema 2. */
const CONVERTIBLE: Record<Principal, Expected> = {
  ...everyone(storedNotSchema1(namesNoSchema1)),
  'curl: nothing': storedNotSchema1(asStored),
  'curl: */*': storedNotSchema1(asStored),
  'curl: application/json': storedNotSchema1(asStored),
  'curl: application/*': storedNotSchema1(asStored),
  'curl: text/html': storedNotSchema1(asStored),
  'schema 1': 'schema1',
  'schema 1 without signatures': unsignedAsAsked,
  'schema 2': 'stored',
  'schema 2 and lists': 'stored',
  'containerd: all, and */*': 'stored',
  'docker 1.9: nothing': 'schema1',
  'docker 1.9: */*': 'schema1',
  'docker 1.10: schema 1 and 2, lists': 'stored',
}

/** OCI content, which the peer hides from those who do not name its type. */
const HIDDEN: Record<Principal, Expected> = {
  ...everyone(givenNotHidden('stored')),
  'schema 1': givenNotHidden('schema1'),
  'schema 1 without signatures': givenNotHidden('unsigned schema1'),
  OCI: 'stored',
  'OCI and indexes': 'stored',
  'containerd: all, and */*': 'stored',
  'docker 1.9: nothing': givenNotHidden('schema1'),
  'docker 1.9: */*': givenNotHidden('schema1'),
  'docker 1.10: schema 1 and 2, lists': givenNotHidden('schema1'),
}

const GRID: Record<Format, Record<Principal, Expected>> = {
  schema1: { ...everyone('stored'), 'schema 1 without signatures': { ...unsignedAsAsked, peer: 'stored' } },
  schema2: CONVERTIBLE,
  list: { ...CONVERTIBLE, 'schema 2': 'child', lists: 'stored' },
  oci: HIDDEN,
  index: { ...HIDDEN, OCI: givenNotHidden('child'), indexes: 'stored' },
  artifact: {
    ...HIDDEN,
    'schema 1': '404',
    'schema 1 without signatures': '404',
    'docker 1.9: nothing': '404',
    'docker 1.9: */*': '404',
    'docker 1.10: schema 1 and 2, lists': givenNotHidden('stored'),
  },
}

/** A case for each row: both registries respond as it says, to HEAD as to GET, and by digest with the stored bytes. */
export async function negotiation({ cay, peer }: Registries): Promise<Cases> {
  const cases: Cases = {}
  for (const format of Object.keys(GRID) as Format[]) {
    const repository = `grid/${format}`
    const { [format]: sample } = await makeSamples(repository, 'v')
    for (const address of [cay, peer]) await new Registry(address).pushContent(repository, 'v', sample)
    for (const principal of Object.keys(ASKERS) as Principal[]) {
      const expected = GRID[format][principal]
      const both = typeof expected === 'string' ? { cay: expected, peer: expected } : expected
      cases[`${format} asked for by ${principal}`] = async () => {
        const headers = headersOf(ASKERS[principal])
        equal(await outcome(peer, repository, sample, headers), both.peer, 'docker-registry')
        equal(await outcome(cay, repository, sample, headers), both.cay, 'cay')
        await tryHeaders(cay, repository, sample, headers, both.cay)
      }
    }
  }
  return cases
}

function everyone(expected: Expected): Record<Principal, Expected> {
  const rows = Object.keys(ASKERS).map((principal) => [principal, expected])
  return Object.fromEntries(rows) as Record<Principal, Expected>
}

function headersOf({ agent, accept }: { agent: string; accept?: string }): Record<string, string> {
  return { 'user-agent': agent, ...(accept === undefined ? {} : { accept }) }
}

/** Returns the result of a pull by tag, which must be the same for HEAD and GET. */
async function outcome(
  address: string,
  repository: string,
  sample: Sample,
  headers: Record<string, string>,
): Promise<Outcome> {
  const path = `/v2/${repository}/manifests/v`
  const got = await ask(address, 'GET', path, headers)
  const head = await ask(address, 'HEAD', path, headers)
  deepEqual(described(head), described(got), 'HEAD is not as GET')
  const digest = got.headers['docker-content-digest'] ?? ''
  const type = got.headers['content-type']
  if (got.status === 404) return '404'
  equal(got.status, 200, got.body.toString())
  if (digest === sample.descriptor.digest) return type === unsigned ? 'unsigned schema1' : 'stored'
  const children: Descriptor[] = JSON.parse(sample.manifest.toString()).manifests ?? []
  const child = children.find((one) => one.digest === digest)
  if (child !== undefined) {
    equal(child.platform?.architecture, 'amd64')
    return 'child'
  }
  if (type === unsigned) {
    equal(sha256(got.body), digest)
    return 'unsigned schema1'
  }
  equal(type, schema1)
  const { payload, signatures } = parseSignedDocument(got.body)
  verifySignatures({ payload, signatures })
  equal(sha256(payload), digest)
  return 'schema1'
}

/** What only cay promises: Vary, a note about the conversion, and the stored bytes by digest. */
async function tryHeaders(
  cay: string,
  repository: string,
  sample: Sample,
  headers: Record<string, string>,
  expected: Outcome,
): Promise<void> {
  const { headers: got } = await ask(cay, 'GET', `/v2/${repository}/manifests/v`, headers)
  match(got.vary ?? '', /accept/i)
  if (expected !== '404') equal(got.etag, `"${got['docker-content-digest']}"`)
  const isSchema1 = expected === 'schema1' || expected === 'unsigned schema1'
  const isConverted = isSchema1 && sample.format !== 'schema1'
  match(got.warning ?? 'none', isConverted ? /^299 - "/ : /^none$/)
  if (isSchema1 && !isConverted) return
  const stored = await ask(cay, 'GET', `/v2/${repository}/manifests/${sample.descriptor.digest}`, headers)
  equal(stored.status, 200)
  equal(stored.headers['content-type'], sample.descriptor.mediaType)
  deepEqual(stored.body, sample.manifest)
}

function described({ status, headers }: Answer): unknown[] {
  const names = ['content-type', 'content-length', 'docker-content-digest', 'etag', 'vary', 'warning']
  return [status, ...(status === 200 ? names.map((name) => headers[name]) : [])]
}
