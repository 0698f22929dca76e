/**
 * Kills backups, restores, imports and verifications, and fails their disk; needs root and strace. `UPKEEP_ROUNDS=50` kills
 * each 50 times instead of 5.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { runCommand, runToEnd } from '../../scripts/lib/command.ts'
import { type Content, makeImage, makeIndex, makePlatforms, sha256 } from '../../scripts/lib/image.ts'
import { startPeer } from '../../scripts/lib/peers.ts'
import { manifestMediaType, Registry } from '../../scripts/lib/registry.ts'
import { writeRepository } from '../../scripts/lib/registry-folder.ts'
import { whileRepeating } from '../../scripts/lib/repeated.ts'
import { startServer } from '../../scripts/lib/server.ts'
import {
  type TemporaryFolder,
  temporaryFileSystem,
  temporaryFolder,
} from '../../scripts/lib/temporary-folder.ts'
import { bringTools } from '../../scripts/toolchain/toolchain.ts'
import { afflict } from './strace.ts'

const MiB = 1024 * 1024
const rounds = Number(process.env.UPKEEP_ROUNDS ?? 5)
setDefaultTimeout(60_000 + rounds * 5000)

/** The images of the filled folder, and the bytes of their layers. */
const images = 24
const layerBytes = MiB
/** A killed command, and a killed verification, run at most this long before, in milliseconds. */
const [commandMax, scrubMax] = [120, 400]

let cay: string
let folder: TemporaryFolder
/** The filled data folder, its backup, its export, and another registry's folder. */
const path = { data: '', backup: '', layout: '', registry: '' }

beforeAll(async () => {
  cay = process.env.CAY_EXECUTABLE ?? (await build())
  folder = await temporaryFolder('upkeep')
  for (const name of ['data', 'backup', 'layout', 'registry'] as const) path[name] = join(folder.path, name)
  {
    await using server = await startServer({ data: path.data })
    for (let n = 0; n < images; n++) await server.registry.pushRandomImage(`app${n % 3}`, `t${n}`, layerBytes)
  }
  await runCommand([cay, 'backup', path.backup, '--data', path.data])
  await runCommand([cay, 'export', path.layout, 'app0', 'app1', 'app2', '--data', path.data])
  await writeRegistryFolder(path.registry)
})

afterAll(() => folder[Symbol.asyncDispose]())

/** What is interrupted: a command that fills a folder, and a check that the folder is whole. */
interface Interrupted {
  command(target: string): string[]
  check(target: string): Promise<unknown>
  /** It refuses a folder that it has completed. */
  isOnce?: boolean
}

const fsck = (target: string) => runCommand([cay, 'fsck', '--data', target])

const interrupted: Record<'backup' | 'restore' | 'import', Interrupted> = {
  backup: {
    command: (target) => [cay, 'backup', target, '--data', path.data],
    async check(target) {
      await runCommand([cay, 'backup', target, '--verify', '--data', path.data])
      const snapshots = await readdir(join(target, 'snapshots'))
      expect(snapshots.filter((name) => name.startsWith('.'))).toEqual([])
    },
  },
  restore: {
    command: (target) => [cay, 'restore', path.backup, '--data', target],
    check: fsck,
    isOnce: true,
  },
  import: { command: (target) => [cay, 'import', path.layout, '--data', target], check: fsck },
}
const verbs = ['backup', 'restore', 'import'] as const

test('move in: everything that docker-registry has is imported from its folder and migrated by its API', async () => {
  const executables = await bringTools(['docker-registry'])
  await using own = await temporaryFolder('move-in')
  await using peer = await startPeer(executables, 'docker-registry')
  const source = new Registry(`127.0.0.1:${peer.port}`)
  const contents = new Map<string, Content>()
  for (const name of ['alpine', 'team/app', 'team/deep/er/app'])
    contents.set(name, makeIndex(await makePlatforms()))
  for (const [name, content] of contents) await source.pushContent(name, '1.0', content)
  const [imported, migrated] = [join(own.path, 'imported'), join(own.path, 'migrated')]
  await runCommand([cay, 'import', peer.data, '--data', imported])
  await runCommand([cay, 'migrate', `http://127.0.0.1:${peer.port}`, '--data', migrated])
  for (const path of [imported, migrated]) {
    await using server = await startServer({ data: path })
    for (const [name, content] of contents) await server.registry.pullContent(name, '1.0', content)
  }
})

test('backup: one that is made while images are pushed restores everything that was pushed before it', async () => {
  await using own = await temporaryFolder('under-load')
  const [busy, target, restored] = ['data', 'target', 'restored'].map((name) => join(own.path, name))
  const tags: string[] = []
  {
    await using server = await startServer({ data: busy! })
    const push = async () => {
      const tag = `t${tags.length}`
      await server.registry.pushRandomImage('app', tag, tags.length % 2 === 0 ? layerBytes / 4 : 1000)
      tags.push(tag)
    }
    while (tags.length < 20) await push()
    const backUp = () => runCommand([cay, 'backup', target!, '--data', busy!])
    await whileRepeating(push, backUp)
  }
  await runCommand([cay, 'restore', target!, '--data', restored!])
  await fsck(restored!)
  await using server = await startServer({ data: restored! })
  for (const tag of tags.slice(0, 20))
    await server.registry.get(`/v2/app/manifests/${tag}`, { accept: manifestMediaType })
})

test.each(verbs)('kills: %s that is killed again and again continues, and is whole', async (verb) => {
  const { command, check, isOnce } = interrupted[verb]
  // On another file system blobs are copied, which takes longer than linking them.
  await using volume = await temporaryFileSystem(6 * images)
  const target = join(volume.path, 'target')
  for (let round = 0; round < rounds; round++) {
    await runToEnd(command(target), { secondsMax: (1 + Math.random() * commandMax) / 1000 })
    // The kill can come after its last step.
    const isComplete = existsSync(join(target, 'cay.db')) && !existsSync(join(target, 'restoring'))
    if (!isOnce || !isComplete) continue
    await check(target)
    await rm(target, { recursive: true })
  }
  await runCommand(command(target))
  await check(target)
  if (verb === 'import') expect(await runCommand(command(target))).toContain(`${images} unchanged`)
})

test.each(verbs)(
  'full disk: %s that does not fit says so, and continues when there is space',
  async (verb) => {
    const { command, check } = interrupted[verb]
    await using volume = await temporaryFileSystem(images / 2)
    const target = join(volume.path, 'target')
    const { code, output, errors } = await runToEnd(command(target))
    expect(code).toBe(1)
    expect(output + errors).toMatch(/ENOSPC|no space|full/i)
    await runCommand(['mount', '-o', `remount,size=${6 * images}m`, volume.path])
    await runCommand(command(target))
    await check(target)
  },
)

const calls = ['fsync,fdatasync', 'rename', 'linkat,link', 'mkdir,mkdirat', 'write,pwrite64,copy_file_range']

test.each(calls.flatMap((names) => verbs.map((verb) => [verb, names] as const)))(
  'failing disk: %s of which a call fails (%s) ends with a message or is whole, and continues',
  async (verb, names) => {
    const { command, check, isOnce } = interrupted[verb]
    await using own = await temporaryFolder('failing')
    const target = join(own.path, 'target')
    // An import reads the folder of a registry:2, which stays as it is.
    const isImport = verb === 'import'
    const words = isImport ? [cay, 'import', path.registry, '--data', target] : command(target)
    const list = () =>
      runCommand(['sh', '-c', 'find . -type f | sort | xargs sha256sum'], { cwd: path.registry })
    const before = await list()
    for (const error of ['EIO', 'ENOSPC']) {
      for (const when of [1, 3, 7]) {
        const inject = `inject=${names}:error=${error}:when=${when}`
        const strace = ['strace', '-f', '--seccomp-bpf', '-q', '-o', '/dev/null', '-e', `trace=${names}`]
        const { code, errors } = await runToEnd([...strace, '-e', inject, ...words])
        if (code !== 0) expect(errors, inject).toMatch(/^cay: ./m)
        else await check(target)
        if (code === 0 && isOnce) await rm(target, { recursive: true })
      }
    }
    await runCommand(words)
    await check(target)
    if (verb === 'backup') await fsck(path.data)
    if (isImport) expect(await runCommand(words)).toContain('imported 0 images')
    expect(await list()).toBe(before)
  },
)

/** Writes the data folder of a registry:2 that has an image. */
async function writeRegistryFolder(target: string): Promise<void> {
  const { descriptor, blobs } = await makeImage({ layerBytes: 200_000 })
  const stored = [...blobs].map(([digest, bytes]) => ({ digest, bytes }))
  const isManifest = ({ digest }: { digest: string }) => digest === descriptor.digest
  const [manifests, others] = [stored.filter(isManifest), stored.filter((one) => !isManifest(one))]
  writeRepository(target, 'team/app', { blobs: others, manifests, tags: [['1.0', descriptor.digest]] })
}

/** The data folder with blobs that is copied and damaged. */
let whole: DamagedFolder

describe('verification: damaged content is found, never served after that, and healed by a push:', () => {
  beforeAll(async () => {
    whole = { ...(await temporaryFolder('whole')), digests: [], damaged: [] }
    await using server = await startServer({ data: whole.path })
    for (let n = 0; n < 12; n++) {
      const body = Buffer.alloc(MiB, crypto.getRandomValues(new Uint8Array(65_536)))
      whole.digests.push(sha256(body))
      await server.registry.postBlob('app', body)
    }
  })

  afterAll(() => whole[Symbol.asyncDispose]())

  test('while it is killed', async () => {
    await using own = await damagedFolder()
    const hidden = new Set<string>()
    for (let round = 0; round < rounds; round++) {
      await using server = await startServer({ data: own.path })
      await refuse(server.registry, hidden)
      await server.registry.api('POST', '/jobs', { kind: 'scrub' })
      await Bun.sleep(Math.random() * scrubMax)
      for (const digest of await listDamage(server.registry)) hidden.add(digest)
      process.kill(server.pid, 'SIGKILL')
      await server.exited
    }
    await expectHealing(own)
  })

  test.each(['rename', 'fdatasync,fsync', 'pwrite64,write', 'mkdir,mkdirat'])(
    'while %s fails',
    async (calls) => {
      await using own = await damagedFolder()
      for (const error of ['EIO', 'ENOSPC']) {
        await using server = await startServer({ data: own.path })
        {
          await using _ = await afflict(server, `${calls}:error=${error}:when=1+2`)
          // The start itself can fail: it is recorded in the audit log.
          await verify(server.registry).catch(() => undefined)
        }
        // A server whose database cannot be written ends, and says why.
        const found = await listDamage(server.registry).catch(() => undefined)
        if (found !== undefined) await refuse(server.registry, found)
        else {
          expect(await server.exited).not.toBe(0)
          expect(server.log()).toContain('the disk of the database failed')
        }
      }
      await expectHealing(own)
    },
  )

  test('a file that cannot be read is not served, and is served again once it can', async () => {
    await using own = await damagedFolder(0)
    const unreadable = own.digests[0]!
    {
      await using server = await startServer({ data: own.path })
      await using _ = await afflict(server, 'read,pread64:error=EIO', [fileOf(own.path, unreadable)])
      await verify(server.registry)
      expect(await listDamage(server.registry)).toEqual([unreadable])
      await refuse(server.registry, [unreadable])
    }
    // Somebody puts the file back, which was only unreadable.
    const moved = join(own.path, 'quarantine', ...unreadable.split(':'))
    if (existsSync(moved)) await writeFile(fileOf(own.path, unreadable), await readFile(moved))
    await using server = await startServer({ data: own.path })
    expect(await verify(server.registry)).toBe('done')
    await server.registry.pullBlob('app', unreadable)
  })
})

/** A data folder with blobs, of which some have a wrong byte. */
interface DamagedFolder extends TemporaryFolder {
  digests: string[]
  damaged: string[]
}

async function damagedFolder(damagedCount = 6): Promise<DamagedFolder> {
  const own = await temporaryFolder('scrubs')
  await cp(whole.path, own.path, { recursive: true })
  const { digests } = whole
  const damaged = digests.slice(0, damagedCount)
  for (const digest of damaged)
    await writeFile(fileOf(own.path, digest), await flipped(fileOf(own.path, digest)))
  return { ...own, digests, damaged }
}

/** Returns the bytes of a file with one of them changed, or changed back. */
async function flipped(file: string): Promise<Uint8Array> {
  const bytes = await readFile(file)
  bytes[1000] = (bytes[1000] ?? 0) ^ 1
  return bytes
}

/** A whole verification finds all damage and hides it, and a push heals it. */
async function expectHealing({ path, damaged }: DamagedFolder): Promise<void> {
  await using server = await startServer({ data: path })
  const { registry } = server
  expect(await verify(registry)).toBe('done')
  expect((await listDamage(registry)).toSorted()).toEqual(damaged.toSorted())
  await refuse(registry, damaged)
  for (const digest of damaged) {
    await registry.postBlob('app', await flipped(join(path, 'quarantine', ...digest.split(':'))), digest)
    await registry.pullBlob('app', digest)
  }
  expect(await listDamage(registry)).toEqual([])
}

/** Runs a verification to its end, and returns its state. */
async function verify(registry: Registry): Promise<string> {
  const id = await registry.runJob('scrub')
  return (await registry.api<{ state: string }>('GET', `/jobs/${id}`)).state
}

async function listDamage(registry: Registry): Promise<string[]> {
  const { items } = await registry.api<{ items: { digest: string }[] }>('GET', '/damage')
  return items.map(({ digest }) => digest)
}

async function refuse(registry: Registry, digests: Iterable<string>): Promise<void> {
  for (const digest of digests) await registry.expect([404], 'GET', `/v2/app/blobs/${digest}`)
}

function fileOf(path: string, digest: string): string {
  const hex = digest.slice('sha256:'.length)
  return join(path, 'blobs/sha256', hex.slice(0, 2), hex)
}
