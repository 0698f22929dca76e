/**
 * Sends valid and invalid requests to each operation of the admin API, which schemathesis generates from the OpenAPI
 * document, with a server admin's token. `API_EXAMPLES` is how many it generates for each operation (15).
 */

import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { runToEnd } from '../../scripts/lib/command.ts'
import { makeImage } from '../../scripts/lib/image.ts'
import { Registry } from '../../scripts/lib/registry.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { bringTools } from '../../scripts/toolchain/toolchain.ts'

const outputLengthMax = 12_000

/** The account whose token the requests use. */
const keeper = 'keeper-of-the-cases'
const password = 'correct-horse-battery'

const options = {
  // The response of watchEvents does not end.
  'include-path-regex': '^/api/v1/',
  'exclude-operation-id': 'watchEvents',
  checks:
    'not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance',
  phases: 'examples,coverage,fuzzing,stateful',
  // Every run generates the same cases.
  seed: '1',
  'max-examples': process.env.API_EXAMPLES ?? '15',
  'request-timeout': '10',
}

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

test('api: the response to every valid and invalid request matches the OpenAPI document', async () => {
  const { schemathesis = '' } = await bringTools(['schemathesis'])
  const env = { CAY_ADMIN_PASSWORD: password }
  await using server = await startServer({ access: 'accounts', logLinesMax: 20_000, env })
  const { token, digest } = await fill(server.address)
  await using folder = await temporaryFolder('schemathesis')
  await Bun.write(join(folder.path, 'hooks.py'), hooks(digest))
  const flags = Object.entries(options).map(([name, value]) => `--${name}=${value}`)
  const header = ['--header', `Authorization: Bearer ${token}`, '--continue-on-failure', '--no-color']
  const { code, output } = await runToEnd(
    [schemathesis, 'run', `http://${server.address}/swagger/json`, ...header, ...flags],
    {
      cwd: folder.path,
      env: { ...process.env, HYPOTHESIS_STORAGE_DIRECTORY: folder.path, SCHEMATHESIS_HOOKS: 'hooks' },
    },
  )
  if (code !== 0) {
    console.log(output.slice(output.indexOf('= FAILURES =')).slice(0, outputLengthMax))
    console.log(
      server
        .log()
        .match(/^.*"level":"error".*$/gm)
        ?.join('\n')
        .slice(0, outputLengthMax),
    )
  }
  const [summary = '', made, passed] = /(\d+) generated, (\d+) passed.*/.exec(output) ?? []
  console.log(summary)
  expect({ code, passed }).toEqual({ code: 0, passed: made })
  expect(Number(made)).toBeGreaterThan(1000)
})

/** Creates one resource of each kind, with the names in the examples. Returns the keeper's token and a digest. */
async function fill(address: string): Promise<{ token: string; digest: string }> {
  const admin = new Registry(`admin:${password}@${address}`)
  await admin.api('PUT', `/users/${keeper}`, { password, admin: true })
  const tokens = `/accounts/${keeper}/tokens`
  const { secret } = await admin.api<{ secret: string }>('POST', tokens, { name: 'cases' })
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
