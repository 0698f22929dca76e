import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afflict } from '../durability/strace.ts'
import { sha256 } from '../lib/image.ts'
import type { Registry } from '../lib/registry.ts'
import { startServer } from '../lib/server.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'

const blobs = 24
const damagedBlobs = 6
const blobBytes = 1024 * 1024
/** A verification runs at most this long before it is killed. */
const killMillisecondsMax = 400

const repository = 'app'

interface Job {
  id: string
  state: string
  endedAt?: string
  error?: string
}

/** Kills verifications of a folder with damaged blobs. None of them is ever served after it was found. */
export async function killScrubs(rounds: number): Promise<void> {
  await using folder = await temporaryFolder('scrubs')
  const data = join(folder.path, 'data')
  const { damaged } = await fill(data)
  const hidden = new Set<string>()
  for (let round = 0; round < rounds; round++) {
    await using server = await startServer({ data })
    await refuse(server.registry, hidden)
    await start(server.registry)
    await Bun.sleep(Math.random() * killMillisecondsMax)
    for (const digest of await listDamage(server.registry)) hidden.add(digest)
    process.kill(server.pid, 'SIGKILL')
    await server.exited
  }
  await expectHealing(data, damaged)
}

/** Fails system calls while damaged blobs are found. They are not served, and the next verification moves them. */
export async function failScrub(calls: string): Promise<void> {
  await using folder = await temporaryFolder('scrubs')
  const data = join(folder.path, 'data')
  const { damaged } = await fill(data)
  for (const error of ['EIO', 'ENOSPC']) {
    await using server = await startServer({ data })
    {
      await using _ = await afflict(server, `${calls}:error=${error}:when=1+2`)
      // The start itself can fail: it is recorded in the audit log.
      const job = await start(server.registry).catch(() => undefined)
      if (job !== undefined) await ended(server.registry, job.id).catch(() => {})
    }
    // A server whose database cannot be written ends, and says why.
    const found = await listDamage(server.registry).catch(() => undefined)
    if (found !== undefined) await refuse(server.registry, found)
    else if ((await server.exited) === 0 || !server.log().includes('the disk of the database failed'))
      throw new Error(`the server ended without a reason:\n${server.log()}`)
  }
  await expectHealing(data, damaged)
}

/** A blob that the disk cannot read is not served; when it can be read again, it is. */
export async function failRead(): Promise<void> {
  await using folder = await temporaryFolder('scrubs')
  const data = join(folder.path, 'data')
  const { good } = await fill(data, 0)
  const [unreadable = ''] = good
  {
    await using server = await startServer({ data })
    await using _ = await afflict(server, 'read,pread64:error=EIO', [fileOf(data, unreadable)])
    const { id } = await start(server.registry)
    await ended(server.registry, id)
    const found = await listDamage(server.registry)
    if (found.length !== 1 || found[0] !== unreadable) throw new Error(`found damaged: ${found}`)
    await refuse(server.registry, found)
  }
  // Somebody puts the file back, which was only unreadable.
  const moved = join(data, 'quarantine', ...unreadable.split(':'))
  if (existsSync(moved)) await writeFile(fileOf(data, unreadable), await readFile(moved))
  await using server = await startServer({ data })
  const { id } = await start(server.registry)
  const { state } = await ended(server.registry, id)
  if (state !== 'done') throw new Error(`the job is ${state}`)
  await server.registry.pullBlob(repository, unreadable)
}

/** Fills a folder with blobs, of which the first ones get a wrong byte. */
async function fill(data: string, count = damagedBlobs): Promise<{ good: string[]; damaged: string[] }> {
  const digests: string[] = []
  {
    await using server = await startServer({ data })
    for (let n = 0; n < blobs; n++) {
      const bytes = crypto.getRandomValues(new Uint8Array(65_536))
      const body = Buffer.concat(Array.from({ length: blobBytes / bytes.length }, () => bytes))
      digests.push(sha256(body))
      await server.registry.postBlob(repository, body)
    }
  }
  const [damaged, good] = [digests.slice(0, count), digests.slice(count)]
  for (const digest of damaged) {
    const bytes = await readFile(fileOf(data, digest))
    bytes[1000] = (bytes[1000] ?? 0) ^ 1
    await writeFile(fileOf(data, digest), bytes)
  }
  return { good, damaged }
}

/** A whole verification finds all damage, hides it, and a push heals it. */
async function expectHealing(data: string, damaged: string[]): Promise<void> {
  await using server = await startServer({ data })
  const { registry } = server
  const { id } = await start(registry)
  const { state, error } = await ended(registry, id)
  if (state !== 'done') throw new Error(`the job is ${state}: ${error}`)
  const found = await listDamage(registry)
  if (found.toSorted().join() !== damaged.toSorted().join())
    throw new Error(`damaged are ${damaged.length} blobs, listed are ${found.length}`)
  await refuse(registry, damaged)
  for (const digest of damaged) {
    const body = await readFile(join(data, 'quarantine', ...digest.split(':')))
    body[1000] = (body[1000] ?? 0) ^ 1
    await registry.postBlob(repository, body, digest)
    await registry.pullBlob(repository, digest)
  }
  if ((await listDamage(registry)).length > 0) throw new Error('not everything has healed')
}

async function start(registry: Registry): Promise<Job> {
  return await registry.api('POST', '/jobs', { kind: 'scrub' })
}

async function ended(registry: Registry, id: string): Promise<Job> {
  for (;;) {
    const job = await registry.api<Job>('GET', `/jobs/${id}`)
    if (job.endedAt !== undefined) return job
    await Bun.sleep(20)
  }
}

async function listDamage(registry: Registry): Promise<string[]> {
  const { items } = await registry.api<{ items: { digest: string }[] }>('GET', '/damage')
  return items.map(({ digest }) => digest)
}

async function refuse(registry: Registry, digests: Iterable<string>): Promise<void> {
  for (const digest of digests) await registry.expect([404], 'GET', `/v2/${repository}/blobs/${digest}`)
}

function fileOf(data: string, digest: string): string {
  const hex = digest.slice('sha256:'.length)
  return join(data, 'blobs/sha256', hex.slice(0, 2), hex)
}
