import { expect, test } from 'bun:test'
import { parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { faultsOf } from '../support/collected-integrity.ts'
import {
  type CollectedRegistry,
  DAY,
  HOUR,
  openCollectedRegistry,
  PUSHER,
} from '../support/collected-registry.ts'
import {
  descriptor,
  EMPTY,
  imageIndex,
  imageManifest,
  type Named,
  OCI_MANIFEST,
  randomBlob,
} from '../support/content.ts'
import { CALLER } from '../support/writes.ts'

const STEPS = 300
const WINDOW = 10 * DAY
const REPOSITORIES = ['a', 'b']
const TAGS = ['one', 'two', 'three']

/** Returns random numbers that are reproducible by seed (mulberry32). */
function random(seed: number) {
  let state = seed
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(next() * list.length)]
  return { next, pick }
}

/** A manifest, with what must exist when it does. */
interface Known {
  manifest: Named
  blobs: Named[]
  children: Known[]
}

interface Deleted {
  at: number
  restore(): Promise<unknown>
  /** What exists again afterwards. */
  known: [repository: string, known: Known][]
}

/** What clients did, and what they may rely on. */
class Model {
  readonly cay: CollectedRegistry
  readonly random: ReturnType<typeof random>
  readonly layers = Array.from({ length: 6 }, (_, n) => randomBlob(n % 2 ? 50 + n : 70_000 + n))
  tags = new Map<string, Map<string, Known>>(REPOSITORIES.map((name) => [name, new Map()]))
  /** Until when a pusher may reference what was found. */
  promises: { repository: string; blob: Named; until: number }[] = []
  deleted: Deleted[] = []
  /** Every pushed manifest by digest. */
  readonly known = new Map<string, Known>()
  count = 0

  constructor(cay: CollectedRegistry, seed: number) {
    this.cay = cay
    this.random = random(seed)
  }

  pick<T>(list: readonly T[]): T {
    return this.random.pick(list) as T
  }

  tagsOf(repository: string): Map<string, Known> {
    return this.tags.get(repository) as Map<string, Known>
  }

  async pushImage(repository: string, tags: string[], more: object = {}): Promise<Known> {
    const blobs = [EMPTY, this.pick(this.layers), this.pick(this.layers)]
    for (const blob of blobs) await this.cay.pushBlob(blob, repository)
    return await this.push(
      repository,
      imageManifest(EMPTY, blobs.slice(1), this.unlike(more)),
      blobs,
      [],
      tags,
    )
  }

  async pushIndex(repository: string, tags: string[]): Promise<void> {
    const children = [await this.pushImage(repository, []), await this.pushImage(repository, [])]
    const descriptors = children.map(({ manifest }) => descriptor(manifest, OCI_MANIFEST))
    await this.push(repository, imageIndex(descriptors, this.unlike({})), [], children, tags)
  }

  private unlike(more: object): object {
    return { annotations: { n: String(this.count++ % 40) }, ...more }
  }

  private async push(repository: string, manifest: Named, blobs: Named[], children: Known[], tags: string[]) {
    await this.cay.pushManifest(manifest, tags, repository)
    const known = { manifest, blobs, children }
    this.known.set(manifest.digest, known)
    for (const tag of tags) this.tagsOf(repository).set(tag, known)
    return known
  }

  async step(): Promise<void> {
    const repository = this.pick(REPOSITORIES)
    const tag = this.pick(TAGS)
    const known = this.tagsOf(repository).get(tag)
    const acts: (() => Promise<unknown>)[] = [
      () => this.pushImage(repository, [tag]),
      () => this.pushImage(repository, []),
      () => this.pushIndex(repository, [tag]),
      async () =>
        known && this.pushImage(repository, [], { subject: descriptor(known.manifest, OCI_MANIFEST) }),
      async () => known && this.pushImage(repository, [`${known.manifest.digest.replace(':', '-')}.sig`]),
      async () => known && this.deleteTag(repository, tag, known),
      async () => known && this.deleteManifest(repository, known),
      async () => this.random.next() < 0.3 && this.deleteRepository(repository),
      () => this.restore(),
      () => this.ask(repository),
      () => this.keepPromise(),
      async () => this.cay.wait(Math.floor(this.random.next() * DAY)),
      async () => this.cay.wait(Math.floor(this.random.next() * WINDOW) / 2),
      () => this.cay.collector.run(),
      () => this.cay.collector.run(),
    ]
    await this.pick(acts)()
  }

  private write(repository: string) {
    const at = this.cay.now()
    return { caller: CALLER, at, repository: parseRepositoryName(repository), windowStart: at - WINDOW }
  }

  private async deleteTag(repository: string, tag: string, known: Known) {
    await this.cay.delete(tag, repository)
    this.tagsOf(repository).delete(tag)
    const to = { digest: parseDigest(known.manifest.digest) }
    const restore = () =>
      this.cay.metadata.write('restoreTag', { ...this.write(repository), tag: parseTag(tag), to })
    this.deleted.push({ at: this.cay.now(), restore, known: [[repository, known]] })
  }

  private async deleteManifest(repository: string, known: Known) {
    const digest = parseDigest(known.manifest.digest)
    await this.cay.delete(digest, repository)
    for (const [tag, { manifest }] of this.tagsOf(repository)) {
      if (manifest.digest === digest) this.tagsOf(repository).delete(tag)
    }
    const restore = () => this.cay.metadata.write('restoreManifest', { ...this.write(repository), digest })
    this.deleted.push({ at: this.cay.now(), restore, known: [[repository, known]] })
  }

  private async deleteRepository(repository: string) {
    if (this.cay.metadata.repositories.find(parseRepositoryName(repository)) === undefined) return
    await this.cay.metadata.write('deleteRepository', this.write(repository))
    const known = [...this.tagsOf(repository).values()].map((known) => [repository, known] as [string, Known])
    this.tags.set(repository, new Map())
    this.promises = this.promises.filter((promise) => promise.repository !== repository)
    // What was deleted in it can be restored only in it.
    this.deleted = this.deleted.filter(({ known }) => known.every(([name]) => name !== repository))
    const restore = () => this.cay.metadata.write('restoreRepository', this.write(repository))
    this.deleted.push({ at: this.cay.now(), restore, known })
  }

  /** Restores what was deleted within the window, with all that it references. */
  private async restore() {
    this.deleted = this.deleted.filter(({ at }) => at >= this.cay.now() - WINDOW)
    const act = this.random.pick(this.deleted)
    if (act === undefined) return
    this.deleted = this.deleted.filter((other) => other !== act)
    try {
      await act.restore()
    } catch (error) {
      if ((error as { status?: number }).status === 409) return
      throw error
    }
    for (const [repository, known] of act.known) await this.expectThere(repository, known)
    await this.readTags()
  }

  private async ask(repository: string) {
    const blob = this.pick(this.layers)
    if (!(await this.cay.hasBlob(blob, PUSHER, repository))) return
    this.promises.push({ repository, blob, until: this.cay.now() + DAY / 2 })
  }

  /** Pushes a manifest that references content found a short time ago, without pushing that content. */
  private async keepPromise() {
    this.promises = this.promises.filter(({ until }) => until > this.cay.now())
    const promise = this.random.pick(this.promises)
    if (promise === undefined) return
    const { repository, blob } = promise
    await this.cay.pushBlob(EMPTY, repository)
    await this.push(
      repository,
      imageManifest(EMPTY, [blob], this.unlike({})),
      [EMPTY, blob],
      [],
      [this.pick(TAGS)],
    )
  }

  private async expectThere(repository: string, { manifest, blobs, children }: Known): Promise<void> {
    expect([manifest.digest, await this.cay.hasManifest(manifest.digest, undefined, repository)]).toEqual([
      manifest.digest,
      true,
    ])
    for (const blob of blobs) {
      expect([await this.cay.hasBlob(blob, undefined, repository), this.cay.hasBytes(blob)]).toEqual([
        true,
        true,
      ])
    }
    for (const child of children) await this.expectThere(repository, child)
  }

  /** Reads where the tags point, because a restore may have moved some. */
  private async readTags() {
    for (const repository of REPOSITORIES) {
      const name = parseRepositoryName(repository)
      const there = (await this.cay.metadata.tags.list(name, '', 1000, this.cay.now())) ?? []
      const tags = there.map(async (tag): Promise<[string, Known]> => {
        const { digest } = await this.cay.registry.manifests.get(name, { tag })
        return [tag, this.known.get(digest) as Known]
      })
      this.tags.set(repository, new Map(await Promise.all(tags)))
    }
  }

  /** Checks that every tag exists with all it references. A tag that belongs to a manifest may be deleted with it. */
  async check(): Promise<void> {
    expect(faultsOf(this.cay)).toEqual([])
    for (const [repository, tags] of this.tags) {
      for (const [tag, known] of tags) {
        const isThere = await this.cay.hasManifest(tag, undefined, repository)
        if (isThere) await this.expectThere(repository, known)
        else await this.expectGoneWithItsManifest(repository, tag)
      }
    }
  }

  private async expectGoneWithItsManifest(repository: string, tag: string): Promise<void> {
    expect(tag).toEndWith('.sig')
    const digest = tag.replace('-', ':').replace('.sig', '')
    expect(await this.cay.hasManifest(digest, undefined, repository)).toBe(false)
    this.tagsOf(repository).delete(tag)
  }
}

test.each([1, 2])(
  'gc model: after any pushes, moves, deletes, restores and runs, nothing is lost or dangling (seed %d)',
  async (seed) => {
    const garbageWindow = { graceMs: DAY, windowMs: WINDOW, untaggedDays: 20 }
    await using cay = await openCollectedRegistry({ garbageWindow })
    const model = new Model(cay, seed)
    for (let step = 0; step < STEPS; step++) {
      await model.step()
      await model.check()
    }
    for (const repository of REPOSITORIES) {
      if (cay.metadata.repositories.find(parseRepositoryName(repository)) === undefined) continue
      const tags = await cay.metadata.tags.list(parseRepositoryName(repository), '', 1000, cay.now())
      for (const tag of tags ?? []) {
        await cay.delete(tag, repository)
      }
    }
    for (let turn = 0; turn < 8; turn++) {
      cay.wait(WINDOW * 2 + HOUR)
      await cay.collector.run()
    }
    expect(faultsOf(cay)).toEqual([])
    const left = [
      'manifest',
      'manifest_bytes',
      'manifest_reference',
      'repository_blob',
      'blob',
      'tag',
      'tag_history',
    ]
    const counts = left.map((table) => cay.db.query(`select count(*) as n from ${table}`).get())
    expect(counts).toEqual(left.map(() => ({ n: 0 })))
  },
  60_000,
)
