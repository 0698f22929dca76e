import { describe, expect, test } from 'bun:test'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runToEnd } from '../../scripts/lib/command.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { bringTools } from '../../scripts/toolchain/toolchain.ts'

/**
 * The OCI conformance suite, for two versions of the specification, without accounts, and with an account by tokens, by
 * Basic and over TLS. Each case of the suite is a test. All must pass but those that the suite itself leaves out. With
 * `$CAY_ADDRESS` (`host:port`) it runs against that registry, without accounts.
 */

/** A version of the specification, and what the suite does for it. */
interface Version {
  /** The environment of the suite. */
  env: Record<string, string>
  /** The settings of the executable. */
  settings: Record<string, string>
  /** The number of its cases, so that a missing one is noticed. */
  caseCount: number
  /** Cases that it must leave out. */
  leftOutCases: string[]
  /** The same for the rows of its summary, by API and by kind of data. */
  leftOutRows: string[]
}

const versions: Record<string, Version> = {
  '1.1': {
    env: { OCI_VERSION: '1.1' },
    settings: {},
    caseCount: 695,
    leftOutCases: ['sha256', 'sha512'].map(
      (algorithm) => `OCI Conformance Test/${algorithm} blobs/post cancel/blob-post-cancel`,
    ),
    leftOutRows: [
      ...['Blob upload cancel', 'Manifest put with tag params'],
      ...['Sparse Manifests', 'Tag Param', 'Tag Param sha512'],
    ],
  },
  dev: {
    env: { OCI_VERSION: 'dev', OCI_DATA_SPARSE: 'true' },
    // The suite's sparse image lacks a layer.
    settings: { CAY_MANIFESTS_SPARSE: 'all' },
    caseCount: 830,
    leftOutCases: [],
    leftOutRows: [],
  },
}

const ways = ['without accounts', 'with accounts', 'by Basic', 'over TLS'] as const
type Way = (typeof ways)[number]

const password = crypto.randomUUID()

/** What the suite has shown: its cases, its summary, and how it ended. */
interface Results {
  cases: { name: string; status: string; output: string }[]
  rows: [name: string, status: string][]
  ended: string
}

const { conformance = '' } = await bringTools(['conformance'])

for (const [name, version] of Object.entries(versions))
  for (const way of process.env.CAY_ADDRESS === undefined ? ways : ways.slice(0, 1))
    report(`${name}, ${way}`, version, await runConformance(version, way))

function report(name: string, version: Version, { cases, rows, ended }: Results): void {
  const { caseCount, leftOutCases, leftOutRows } = version
  describe(`conformance ${name}`, () => {
    test.each(cases.filter((one) => !leftOutCases.includes(one.name)))('$name', ({ status, output }) => {
      if (status !== 'passed') throw new Error(output)
    })
    test('the suite leaves out only what it does not test in this version', () => {
      expect(ended).toBe('')
      expect(cases).toHaveLength(caseCount)
      const leftOut = cases.filter(({ status }) => status !== 'passed').map((one) => one.name)
      expect(leftOut.sort()).toEqual(leftOutCases)
      expect(rows.filter(([, status]) => status !== 'Pass')).toEqual(
        rows.filter(([row]) => leftOutRows.includes(row)).map(([row]) => [row, 'Disabled']),
      )
      expect(rows.map(([row]) => row)).toEqual(expect.arrayContaining(leftOutRows))
    })
  })
}

/** Starts a registry, and runs the suite against it. */
async function runConformance({ env, settings }: Version, way: Way): Promise<Results> {
  await using folder = await temporaryFolder('conformance')
  const data = join(folder.path, 'data')
  const isOpen = way === 'without accounts'
  const args = way === 'over TLS' ? ['--tls', 'auto'] : []
  await using server = await startServer({
    data,
    access: isOpen ? 'open' : 'accounts',
    args,
    env: { ...settings, ...(!isOpen && { CAY_ADMIN_PASSWORD: password }) },
  })
  await using proxy = startBasicProxy(server.address, 'admin', password)
  // It has no credentials for Basic. It would never send them, because the server asks for tokens.
  const hasCredentials = way === 'with accounts' || way === 'over TLS'
  const { code, errors } = await runToEnd([conformance], {
    cwd: folder.path,
    env: {
      ...env,
      ...(hasCredentials && { OCI_USERNAME: 'admin', OCI_PASSWORD: password }),
      SSL_CERT_FILE: join(data, 'tls', 'rootCA.pem'),
      OCI_TLS: way === 'over TLS' ? 'enabled' : 'disabled',
      OCI_REGISTRY: process.env.CAY_ADDRESS ?? (way === 'by Basic' ? proxy.address : server.address),
      OCI_RESULTS_DIR: folder.path,
    },
  })
  const { apis, data: kinds } = Bun.YAML.parse(await readFile(join(folder.path, 'results.yaml'), 'utf8')) as {
    apis: Record<string, string>
    data: Record<string, string>
  }
  return {
    cases: parseCases(await readFile(join(folder.path, 'junit.xml'), 'utf8')),
    rows: [...Object.entries(apis), ...Object.entries(kinds)],
    ended: code === 0 ? '' : `the suite ended with ${code}\n${errors}`,
  }
}

/** The cases of a junit.xml as Go's encoder writes it: no CDATA, each value escaped. */
function parseCases(xml: string): Results['cases'] {
  const cases = xml.matchAll(/<testcase name="([^"]*)"[^>]* status="([^"]*)"[^>]*>(.*?)<\/testcase>/gs)
  return [...cases].map(([, name = '', status = '', body = '']) => ({
    name: unescapeXml(name),
    status,
    output: unescapeXml(body.replaceAll(/<[^>]*>/g, '')).slice(0, 6000),
  }))
}

function unescapeXml(text: string): string {
  const named: Record<string, string> = { '#34': '"', '#39': "'", '#xA': '\n', lt: '<', gt: '>', amp: '&' }
  return text.replaceAll(/&(#?\w+);/g, (_, name) => named[name] ?? ' ')
}

/**
 * Starts a proxy on loopback that forwards each request to a server unchanged, including Host, and adds a name and a
 * password by Basic.
 */
function startBasicProxy(server: string, name: string, password: string) {
  const proxy = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      const headers = new Headers(request.headers)
      if (headers.has('authorization')) return new Response('a credential of its own', { status: 400 })
      headers.set('authorization', `Basic ${btoa(`${name}:${password}`)}`)
      const { method, body, signal } = request
      const onward: BunFetchRequestInit = {
        method,
        headers,
        body,
        signal,
        redirect: 'manual',
        decompress: false,
      }
      const response = await fetch(`http://${server}${pathname}${search}`, onward)
      // Read the whole body: Bun sends a stream without its Content-Length.
      return method === 'HEAD' ? response : new Response(await response.arrayBuffer(), response)
    },
  })
  return { address: `127.0.0.1:${proxy.port}`, [Symbol.asyncDispose]: () => proxy.stop(true) }
}
