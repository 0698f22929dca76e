import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startBasicProxy } from './lib/basic-proxy.ts'
import { runToEnd } from './lib/command.ts'
import { whileTrusting } from './lib/host-trust.ts'
import { startServer } from './lib/server.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'
import { bringTools } from './toolchain/toolchain.ts'

const outputLengthMax = 6000

/** One way to run the suite, and the expected results. */
interface Configuration {
  name: string
  /** The environment of the suite. */
  env: Record<string, string>
  /** The settings of the executable. */
  settings: Record<string, string>
  /** With accounts, the suite signs in as the first one, and requests the tokens that challenges name. */
  access: 'accounts' | 'open'
  /** TLS: with an authority that this host trusts for that time. Basic: through a proxy that adds Basic credentials. */
  through?: 'TLS' | 'Basic'
  /** The number of cases of the suite, so that a missing one is noticed. */
  caseCount: number
  /** Cases that the suite itself skips in this version. All others must pass, and these must be skipped. */
  leftOutCases: string[]
  /** The same for the rows of its summary, by API and by kind of data. */
  leftOutRows: string[]
}

const suite = 'OCI Conformance Test'

const open: Configuration[] = [
  {
    name: '1.1',
    env: { OCI_VERSION: '1.1' },
    settings: {},
    access: 'open',
    caseCount: 695,
    leftOutCases: [
      `${suite}/sha256 blobs/post cancel/blob-post-cancel`,
      `${suite}/sha512 blobs/post cancel/blob-post-cancel`,
    ],
    leftOutRows: [
      'Blob upload cancel',
      'Manifest put with tag params',
      'Sparse Manifests',
      'Tag Param',
      'Tag Param sha512',
    ],
  },
  {
    name: 'dev',
    env: { OCI_VERSION: 'dev', OCI_DATA_SPARSE: 'true' },
    // The suite's sparse image lacks a layer.
    settings: { CAY_MANIFESTS_SPARSE: 'all' },
    access: 'open',
    caseCount: 830,
    leftOutCases: [],
    leftOutRows: [],
  },
]

const password = crypto.randomUUID()

/** The same with accounts: a user who signs in finds everything that exists without accounts. */
const withAccounts = open.map(
  (one): Configuration => ({
    ...one,
    name: `${one.name}, with accounts`,
    env: { ...one.env, OCI_USERNAME: 'admin', OCI_PASSWORD: password },
    settings: { ...one.settings, CAY_ADMIN_PASSWORD: password },
    access: 'accounts',
  }),
)

/** Tokens over TLS. */
const overTls = withAccounts.map(
  (one): Configuration => ({ ...one, name: `${one.name}, over TLS`, through: 'TLS' }),
)

/** The suite has no credentials here. It would never send them by Basic, because the server asks for tokens. */
const byBasic = withAccounts.map(
  (one, index): Configuration => ({
    ...one,
    name: `${one.name}, by Basic`,
    env: open[index]?.env ?? {},
    through: 'Basic',
  }),
)

/** A case of the suite, from its junit.xml. */
interface Case {
  name: string
  passed: boolean
  output: string
}

/**
 * `conformance [--address host:port]`: runs the OCI conformance suite, for two versions of the specification, against
 * the executable without and with accounts (tokens, tokens over TLS, Basic), or against a running registry. It fails
 * unless everything passes that the suite does not skip itself. TLS needs root on a Debian host, which trusts the
 * executable's authority during the run.
 */
export async function run(args: string[]): Promise<void> {
  const { conformance } = await bringTools(['conformance'])
  if (!conformance) throw new Error('the conformance suite is missing')
  let passed = 0
  let failed = 0
  const { address } = parseArgs({ args, options: { address: { type: 'string' } } }).values
  const configurations = address ? open : [...open, ...withAccounts, ...byBasic, ...overTls]
  for (const configuration of configurations) {
    const problems = address
      ? await runSuite(conformance, configuration, address)
      : await runConfiguration(conformance, configuration)
    passed += problems.passed
    failed += problems.messages.length
    console.log(
      `${configuration.name}: ${problems.passed} passed, ${problems.messages.length} not as expected`,
    )
    for (const message of problems.messages) console.log(message)
  }
  console.log(`${passed} passed, ${failed} failed`)
  if (failed > 0) process.exitCode = 1
}

async function runConfiguration(executable: string, configuration: Configuration) {
  await using folder = await temporaryFolder('conformance-data')
  const data = join(folder.path, 'data')
  const { settings, access, through } = configuration
  const tls = through === 'TLS' ? ['--tls', 'auto'] : []
  await using server = await startServer({ data, env: settings, access, args: tls })
  const { address } = server
  if (through === 'TLS')
    return await whileTrusting({ data, registry: address }, () =>
      runSuite(executable, configuration, address),
    )
  if (through !== 'Basic') return await runSuite(executable, configuration, address)
  await using proxy = startBasicProxy(address, 'admin', password)
  return await runSuite(executable, configuration, proxy.address)
}

async function runSuite(executable: string, configuration: Configuration, registry: string) {
  await using folder = await temporaryFolder('conformance')
  const { code, errors } = await runToEnd([executable], {
    cwd: folder.path,
    env: {
      ...configuration.env,
      OCI_TLS: configuration.through === 'TLS' ? 'enabled' : 'disabled',
      OCI_REGISTRY: registry,
      OCI_RESULTS_DIR: folder.path,
    },
  })
  const cases = parseCases(await readFile(join(folder.path, 'junit.xml'), 'utf8'))
  const rows = parseRows(await readFile(join(folder.path, 'results.yaml'), 'utf8'))
  const messages = [...judgeCases(cases, configuration), ...judgeRows(rows, configuration)]
  if (code !== 0 && messages.length === 0) messages.push(`the suite ended with ${code}\n${errors}`)
  return { passed: cases.filter((one) => one.passed).length, messages }
}

function judgeCases(cases: Case[], { caseCount, leftOutCases }: Configuration): string[] {
  const known = new Set(leftOutCases)
  const wrong = cases.filter((one) => !one.passed && !known.has(one.name))
  const leftOut = new Set(cases.filter((one) => !one.passed).map((one) => one.name))
  return [
    ...wrong.map((one) => `FAIL ${one.name}\n${one.output}`),
    ...leftOutCases
      .filter((name) => !leftOut.has(name))
      .map((name) => `FAIL ${name}: expected to be left out`),
    ...(cases.length === caseCount ? [] : [`FAIL ${cases.length} cases were run, not ${caseCount}`]),
  ]
}

function judgeRows(rows: Map<string, string>, { leftOutRows }: Configuration): string[] {
  const expected = (name: string) => (leftOutRows.includes(name) ? 'Disabled' : 'Pass')
  const wrong = [...rows].filter(([name, status]) => status !== expected(name))
  return [
    ...wrong.map(([name, status]) => `FAIL summary: ${name}: ${status}`),
    ...leftOutRows.filter((name) => !rows.has(name)).map((name) => `FAIL summary: ${name}: not there`),
  ]
}

/** The rows of the suite's results.yaml: the result of each API and of each kind of data. */
function parseRows(yaml: string): Map<string, string> {
  const results = Bun.YAML.parse(yaml) as { apis: Record<string, string>; data: Record<string, string> }
  return new Map([...Object.entries(results.apis), ...Object.entries(results.data)])
}

/** The cases of a junit.xml as Go's encoder writes it: no CDATA, each value escaped. */
function parseCases(xml: string): Case[] {
  const cases = xml.matchAll(/<testcase name="([^"]*)"[^>]* status="([^"]*)"[^>]*>(.*?)<\/testcase>/gs)
  return [...cases].map(([, name = '', status = '', body = '']) => ({
    name: unescapeXml(name),
    passed: status === 'passed',
    output: status === 'passed' ? '' : shorten(unescapeXml(body.replaceAll(/<[^>]*>/g, ''))),
  }))
}

function unescapeXml(text: string): string {
  const named: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }
  return text.replaceAll(
    /&(?:#x([0-9A-F]+)|#(\d+)|(\w+));/gi,
    (whole, hex?: string, decimal?: string, name = '') => {
      if (hex) return String.fromCodePoint(Number.parseInt(hex, 16))
      return decimal ? String.fromCodePoint(Number(decimal)) : (named[name] ?? whole)
    },
  )
}

function shorten(text: string): string {
  return text.length <= outputLengthMax
    ? text
    : `${text.slice(0, outputLengthMax)}\n... (${text.length} characters)`
}
