import { beforeAll, describe, expect, test } from 'bun:test'
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { EMPTY, imageManifest, randomBlob } from '../support/content.ts'
import { expectStatus, pushImage, startUpload } from '../support/push.ts'
import { runCay } from '../support/run-cay.ts'
import { SERVERS, startExecutable, startInProcess, type TestServer } from '../support/server.ts'

beforeAll(async () => {
  await build()
}, 60_000)

/** Returns the access that other users have to the files and folders in a folder, by path. */
function openPaths(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => (statSync(path).mode & 0o077) !== 0)
    .map((path) => path.slice(folder.length + 1))
}

/** Creates a file or a folder of each kind. */
async function use(server: TestServer): Promise<void> {
  const layer = randomBlob(100_000)
  await pushImage(server, 'a', imageManifest(EMPTY, [layer]), [layer], { reference: '1' })
  await expectStatus(
    await server.fetch(await startUpload(server, 'a'), { method: 'PATCH', body: 'some' }),
    202,
  )
}

// Only this file is readable by everybody.
const PUBLIC = 'tls/rootCA.pem'

for (const [kind, start] of SERVERS) {
  describe.skipIf(process.platform === 'win32')(`files, ${kind}`, () => {
    test('in a folder that others can enter, everything is private to its owner, and the folder keeps its mode', async () => {
      await using folder = await temporaryFolder('modes')
      chmodSync(folder.path, 0o755)
      await using server = await start({
        data: folder.path,
        settings: { access: 'accounts', tls: 'auto' },
      })
      expect(openPaths(folder.path)).toEqual([PUBLIC])
      expect(statSync(folder.path).mode & 0o777).toBe(0o755)
      const warnings = server.log().filter(({ msg }) => /can enter the folder/.test(`${msg}`))
      expect(warnings).toMatchObject([{ folder: folder.path, mode: '0755' }])
    })

    test('pushed content is private to its owner, and a folder that cay creates has mode 0700', async () => {
      await using folder = await temporaryFolder('modes')
      const data = join(folder.path, 'made')
      await using server = await start({ data, settings: { metadata: join(folder.path, 'database') } })
      await use(server)
      expect(openPaths(folder.path)).toEqual([])
      expect(server.log().filter(({ msg }) => /can enter/.test(`${msg}`))).toEqual([])
    })

    test('the next start makes files private that an earlier version left readable', async () => {
      await using folder = await temporaryFolder('modes')
      const first = await start({ data: folder.path, settings: { access: 'accounts', tls: 'auto' } })
      await first.stop()
      const copy = join(folder.path, 'cay.db.before-3')
      await Bun.write(copy, Bun.file(join(folder.path, 'cay.db')))
      for (const name of [
        'cay.db',
        'cay.db.before-3',
        'initial-admin-password',
        'uploads/key',
        'tls/server.pem',
      ])
        chmodSync(join(folder.path, name), 0o644)
      for (const name of ['blobs', 'uploads', 'tls']) chmodSync(join(folder.path, name), 0o755)
      await using _ = await start({ data: folder.path, settings: { access: 'accounts', tls: 'auto' } })
      expect(openPaths(folder.path)).toEqual([PUBLIC])
    })
  })
}

/** Runs a command as a user who owns nothing. Only root can do that. */
const asNobody = Bun.which('setpriv')

describe.skipIf(process.getuid?.() !== 0 || asNobody === null)('files: a start is refused', () => {
  const NOBODY = 65_534

  async function startAsNobody(data: string) {
    const cay = process.env.CAY_EXECUTABLE ?? (await build())
    const child = Bun.spawn(
      [
        ...[asNobody ?? '', `--reuid=${NOBODY}`, '--clear-groups', cay, 'serve'],
        ...['--listen', '127.0.0.1:0', '--data', data],
      ],
      { stdin: 'ignore', stdout: 'ignore', stderr: 'pipe', timeout: 20_000, env: { HOME: '/nonexistent' } },
    )
    return { errors: await child.stderr.text(), code: await child.exited }
  }

  async function foreignDatabase(mode: number) {
    const folder = await temporaryFolder('modes')
    // The folder of the whole test run.
    if ((statSync(tmpdir()).mode & 0o001) === 0) chmodSync(tmpdir(), 0o711)
    await (await startInProcess({ data: folder.path })).stop()
    for (const path of readdirSync(folder.path, { recursive: true, withFileTypes: true }))
      chownSync(join(path.parentPath, path.name), NOBODY, NOBODY)
    chownSync(folder.path, NOBODY, NOBODY)
    chownSync(join(folder.path, 'cay.db'), 0, 0)
    chmodSync(join(folder.path, 'cay.db'), mode)
    return folder
  }

  test('when others can read a secret that belongs to another user', async () => {
    await using folder = await foreignDatabase(0o666)
    const { code, errors } = await startAsNobody(folder.path)
    expect(code).toBe(1)
    expect(errors).toMatch(
      /^cay: other users of this host can read .*\/cay\.db, which holds secrets, .*\(chown 65534 .*\/cay\.db\)/,
    )
  })

  test('when cay cannot read a secret, and the error names its owner', async () => {
    await using folder = await foreignDatabase(0o600)
    const { code, errors } = await startAsNobody(folder.path)
    expect(code).toBe(1)
    expect(errors).toMatch(
      /^cay: cannot read and write .*\/cay\.db, which belongs to user 0 while cay runs as user 65534: .*chown -R 65534/,
    )
  })
})

test('files: a command that runs without a server leaves no file that others can read', async () => {
  await using folder = await temporaryFolder('modes')
  const data = join(folder.path, 'data')
  mkdirSync(data, { mode: 0o755 })
  await (await startExecutable({ data })).stop()
  const { code } = await runCay(['user', 'create', 'alice', '--data', data], {}, 'correct-horse')
  expect(code).toBe(0)
  expect(openPaths(data)).toEqual([])
})
