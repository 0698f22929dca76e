import { join } from 'node:path'
import { runCommand } from './lib/command.ts'
import { makeImage } from './lib/image.ts'
import { Registry } from './lib/registry.ts'
import { type Server, startServer } from './lib/server.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'
import { bringTools } from './toolchain/toolchain.ts'

/** The seed, so that every run generates the same cases. */
const seed = 1

const casesPerOperationMax = 15
const runSecondsMax = 180
const outputLengthMax = 12_000

/** The account whose token the requests use. */
const keeper = 'keeper-of-the-cases'

/**
 * Changes each case before it is sent. Schemathesis learns names from responses, but no case may remove the rights of
 * the keeper. An example digest is replaced by one that exists.
 */
const hooks = (digest: string) => `
import schemathesis

@schemathesis.hook
def before_call(context, case, kwargs):
    for name, value in (case.path_parameters or {}).items():
        if "${keeper}" in str(value):
            case.path_parameters[name] = "alice"
        if str(value) == "sha256:${'0'.repeat(64)}":
            case.path_parameters[name] = "${digest}"
`

const password = 'correct-horse-battery'

/** The checks of each response: no 5xx, and status, media type, headers and body match the document. */
const checks = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
]

/**
 * `schemathesis [arguments]`: generates valid and invalid requests for each operation of the admin API from its OpenAPI
 * document, and sends them to the executable with a server admin's token. Every response must match the document.
 */
export async function run(args: string[]): Promise<void> {
  const { schemathesis } = await bringTools(['schemathesis'])
  if (schemathesis === undefined) throw new Error('schemathesis is missing')
  await using server = await startServer({
    access: 'accounts',
    logLinesMax: 20_000,
    env: { CAY_ADMIN_PASSWORD: password },
  })
  const { token, digest } = await fill(server)
  await using folder = await temporaryFolder('schemathesis')
  await Bun.write(join(folder.path, 'hooks.py'), hooks(digest))
  const command = [
    schemathesis,
    'run',
    `http://${server.address}/swagger/json`,
    '--header',
    `Authorization: Bearer ${token}`,
    '--include-path-regex',
    '^/api/v1/',
    // Its response does not end.
    '--exclude-operation-id',
    'watchEvents',
    '--checks',
    checks.join(','),
    '--phases',
    'examples,coverage,fuzzing,stateful',
    '--seed',
    `${seed}`,
    '--max-examples',
    `${casesPerOperationMax}`,
    '--continue-on-failure',
    '--request-timeout',
    '10',
    '--no-color',
    ...args,
  ]
  const env = { ...process.env, HYPOTHESIS_STORAGE_DIRECTORY: folder.path, SCHEMATHESIS_HOOKS: 'hooks' }
  try {
    const output = await runCommand(command, { cwd: folder.path, env, secondsMax: runSecondsMax })
    const [, made = '0', passed = '0'] = /(\d+) generated, (\d+) passed/.exec(output) ?? []
    console.log(
      `${output.slice(output.lastIndexOf('= SUMMARY ='))}\n${passed} passed, ${Number(made) - Number(passed)} failed`,
    )
  } catch (error) {
    const { message } = error as Error
    const failures = message.slice(Math.max(0, message.indexOf('= FAILURES =')))
    throw new Error(
      `${failures.slice(0, outputLengthMax)}\n${errorsIn(server.log()).slice(0, outputLengthMax)}`,
    )
  }
}

function errorsIn(log: string): string {
  const lines = log.split('\n').filter((line) => line.includes('"level":"error"'))
  return lines.join('\n')
}

/** Creates one resource of each kind, with the names in the examples. Returns the keeper's token and a digest. */
async function fill({ address }: Server): Promise<{ token: string; digest: string }> {
  const admin = new Registry(`admin:${password}@${address}`)
  await admin.api('PUT', `/users/${keeper}`, { password, admin: true })
  const token = { name: 'cases' }
  const { secret } = await admin.api<{ secret: string }>('POST', `/accounts/${keeper}/tokens`, token)
  const registry = new Registry(`${keeper}:${secret}@${address}`)
  await registry.api('PUT', '/users/alice', { password })
  await registry.api('PUT', '/robots/alice%2Bci')
  await registry.api('POST', '/accounts/alice/tokens', { name: 'laptop', expiresInDays: 30 })
  await registry.api('PUT', '/groups/alice')
  await registry.api('PATCH', '/groups/alice', { add: ['alice'] })
  await registry.api('PUT', '/grants', { subject: 'anonymous', pattern: '**', role: 'writer' })
  const image = await makeImage()
  await new Registry(address).pushContent('library/alpine', 'latest', image)
  return { token: secret, digest: image.descriptor.digest }
}
