import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { currentServer, findSignIn } from '../../src/cli/connection.ts'

test.each(['', 'null', '[]', '{"current":"https://a"}', '{"servers":null}'])(
  'sign-in: a file of sign-ins that contains %j is an error that says what to do',
  async (content) => {
    await using folder = await temporaryFolder('sign-in')
    const path = join(folder.path, 'cay/servers.json')
    await Bun.write(path, content)
    const environment = { XDG_CONFIG_HOME: folder.path }
    for (const read of [() => currentServer(environment), () => findSignIn(environment, 'https://a')])
      expect(read).toThrow(`cannot read the sign-ins in ${path}: delete it, and sign in again (`)
  },
)
