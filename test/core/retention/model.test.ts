import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { Retention } from '../../../src/core/retention/retention.ts'
import { SYSTEM } from '../../../src/domain/caller.ts'
import { parseDigest } from '../../../src/oci/digest.ts'
import { isCompanionTag, parseRepositoryName, parseTag } from '../../../src/oci/reference.ts'
import { type CollectedRegistry, DAY, openCollectedRegistry } from '../../support/collected-registry.ts'
import { EMPTY, imageManifest } from '../../support/content.ts'
import { openMemoryLog } from '../../support/memory-log.ts'
import { CALLER } from '../../support/writes.ts'

const REPOSITORIES = ['ci/app', 'prod']
const COMPANION = `sha256-${'a'.repeat(64)}.sig`
const TAGS = ['v1.2-rc1', 'v1.10', '2.0', 'latest', 'pr-1', 'pr-2', COMPANION]
const COVERED = ['*', 'pr-*', '[v2]*']
const KEPT = ['latest', 'v1.[0-9]*', '?.0', 'none']
const IMAGES = Array.from({ length: 4 }, (_, n) => imageManifest(EMPTY, [], { annotations: { n: `${n}` } }))

interface Policy {
  repositories: string[]
  tags: string[]
  newest?: number
  order: 'pushed' | 'version'
  pushedDays?: number
  pulledDays?: number
  keep: string[]
  immutable: boolean
}

interface Tagged {
  digest: string
  updatedAt: number
  pulledAt: number
}

type Act =
  | { act: 'push'; repository: string; tag: string; image: number }
  | { act: 'pull' | 'delete' | 'undo'; repository: string; tag: string }
  | { act: 'wait'; days: number }
  | { act: 'policy'; name: string; policy: Policy | undefined }
  | { act: 'immutable'; repository: string; isOn: boolean }
  | { act: 'run' }

const repository = fc.constantFrom(...REPOSITORIES)
const tag = fc.constantFrom(...TAGS)
const globs = (from: string[], minLength: number, maxLength: number) =>
  fc.uniqueArray(fc.constantFrom(...from), { minLength, maxLength })
const few = fc.option(fc.integer({ min: 1, max: 2 }), { nil: undefined })
const policy: fc.Arbitrary<Policy> = fc
  .record(
    {
      repositories: fc.constantFrom(['**'], ['prod', 'ci/app'], ['ci/*']),
      tags: globs(COVERED, 1, 2),
      newest: few,
      order: fc.constantFrom('pushed' as const, 'version' as const),
      pushedDays: few,
      pulledDays: few,
      keep: globs(KEPT, 0, 1),
      immutable: fc.boolean(),
    },
    { requiredKeys: ['repositories', 'tags', 'order', 'keep', 'immutable'] },
  )
  .map((one) => JSON.parse(JSON.stringify(one)) as Policy)
  .filter(({ newest, pushedDays, pulledDays, keep }) => {
    return keep.length > 0 || [newest, pushedDays, pulledDays].some((value) => value !== undefined)
  })
const push = fc.record({
  act: fc.constant('push' as const),
  repository,
  tag,
  image: fc.nat({ max: IMAGES.length - 1 }),
})
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: push },
  {
    weight: 4,
    arbitrary: fc.record({
      act: fc.constantFrom('pull' as const, 'delete' as const, 'undo' as const),
      repository,
      tag,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ act: fc.constant('wait' as const), days: fc.integer({ min: 0, max: 2 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant('policy' as const),
      name: fc.constantFrom('a', 'b'),
      policy: fc.option(policy, { nil: undefined }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ act: fc.constant('immutable' as const), repository, isOn: fc.boolean() }),
  },
  { weight: 4, arbitrary: fc.constant({ act: 'run' as const }) },
)

/** The plain model: tags by repository, when each image was pushed, and the policies. */
class Model {
  readonly tags = new Map(REPOSITORIES.map((name) => [name, new Map<string, Tagged>()]))
  readonly gone = new Map<string, string>()
  readonly pushedAt = new Map<string, number>()
  readonly policies = new Map<string, Policy>()
  readonly immutable = new Set<string>()

  of(repository: string): Map<string, Tagged> {
    return this.tags.get(repository) as Map<string, Tagged>
  }

  put(repository: string, tag: string, digest: string, at: number): void {
    const { digest: before, pulledAt = 0, updatedAt } = this.of(repository).get(tag) ?? {}
    const isSame = before === digest && updatedAt !== undefined
    this.of(repository).set(tag, { digest, pulledAt, updatedAt: isSame ? updatedAt : at })
  }

  remove(repository: string, tag: string): void {
    const digest = this.of(repository).get(tag)?.digest
    if (digest !== undefined) this.gone.set(`${repository}:${tag}`, digest)
    this.of(repository).delete(tag)
  }

  /** What expires: found by sorting everything, for each tag anew. */
  expiring(at: number): string[] {
    return REPOSITORIES.flatMap((repository) =>
      [...this.of(repository).keys()]
        .filter((tag) => this.isExpired(repository, tag, at))
        .map((tag) => `${repository}:${tag}`),
    ).sort()
  }

  private isExpired(repository: string, tag: string, at: number): boolean {
    const own = [...this.policies.values()].filter(({ repositories }) =>
      repositories.some((pattern) => new Bun.Glob(pattern).match(repository)),
    )
    if (isCompanionTag(tag)) return false
    if (own.some(({ keep }) => matches(keep, tag))) return false
    const covering = own.filter((policy) => covers(policy, tag))
    if (covering.some((policy) => this.keeps(policy, repository, tag, at))) return false
    if (this.immutable.has(repository)) return covering.some(({ immutable }) => immutable)
    return covering.length > 0
  }

  private keeps(policy: Policy, repository: string, tag: string, at: number): boolean {
    const pushed = this.pushed(repository, tag)
    const used = Math.max(pushed, this.of(repository).get(tag)?.pulledAt ?? 0)
    if (pushed + (policy.pushedDays ?? 0) * DAY > at) return true
    if (used + (policy.pulledDays ?? 0) * DAY > at) return true
    const counted = [...this.of(repository).keys()].filter(
      (one) => !isCompanionTag(one) && covers(policy, one) && !matches(policy.keep, one),
    )
    const order = (a: string, b: string) =>
      (policy.order === 'version' ? VERSIONS.indexOf(b) - VERSIONS.indexOf(a) : 0) ||
      this.pushed(repository, b) - this.pushed(repository, a) ||
      this.movedAt(repository, b) - this.movedAt(repository, a) ||
      (a < b ? 1 : -1)
    return counted
      .sort(order)
      .slice(0, policy.newest ?? 0)
      .includes(tag)
  }

  private movedAt(repository: string, tag: string): number {
    return this.of(repository).get(tag)?.updatedAt ?? 0
  }

  private pushed(repository: string, tag: string): number {
    const { digest = '' } = this.of(repository).get(tag) ?? {}
    return Math.max(this.movedAt(repository, tag), this.pushedAt.get(`${repository}@${digest}`) ?? 0)
  }
}

/** The tags that are versions, the oldest first. */
const VERSIONS = ['v1.2-rc1', 'v1.10', '2.0']

function covers({ tags, order }: Policy, tag: string): boolean {
  return matches(tags, tag) && (order === 'pushed' || VERSIONS.includes(tag))
}

function matches(patterns: string[], tag: string): boolean {
  return patterns.some((pattern) => new Bun.Glob(pattern).match(tag))
}

/** Does an act in the registry and in the model. */
async function perform(step: Act, cay: CollectedRegistry, retention: Retention, model: Model): Promise<void> {
  const at = cay.now()
  const write = (name: string) => ({ caller: CALLER, at, repository: parseRepositoryName(name) })
  if (step.act === 'wait') return cay.wait(step.days * DAY)
  if (step.act === 'policy') {
    const { name, policy } = step
    if (policy !== undefined) {
      model.policies.set(name, policy)
      await retention.policies.put({ caller: CALLER, at }, name, policy)
      return
    }
    if (model.policies.delete(name)) await retention.policies.remove({ caller: CALLER, at }, name)
    return
  }
  if (step.act === 'run') return await compareRun(cay, retention, model)
  if (step.act === 'immutable') {
    if (cay.metadata.repositories.find(parseRepositoryName(step.repository)) === undefined) return
    if (step.isOn) model.immutable.add(step.repository)
    else model.immutable.delete(step.repository)
    const change = { immutableTags: step.isOn }
    await cay.metadata.write('changeRepository', { ...write(step.repository), change })
    return
  }
  const { repository, tag } = step
  const current = model.of(repository).get(tag)
  if (step.act === 'push') {
    const image = IMAGES[step.image] as (typeof IMAGES)[number]
    const isRefused = model.immutable.has(repository) && current && current.digest !== image.digest
    await cay.pushBlob(EMPTY, repository)
    if (isRefused) return
    await cay.pushManifest(image, [tag], repository)
    model.put(repository, tag, image.digest, cay.now())
    model.pushedAt.set(`${repository}@${image.digest}`, cay.now())
  } else if (step.act === 'pull' && current !== undefined) {
    const digest = parseDigest(current.digest)
    cay.registry.usage.pulled({
      repository: parseRepositoryName(repository),
      tag: parseTag(tag),
      digest,
      account: undefined,
    })
    current.pulledAt = at
  } else if (step.act === 'delete' && current !== undefined && !model.immutable.has(repository)) {
    await cay.delete(tag, repository)
    model.remove(repository, tag)
  } else if (step.act === 'undo' && current === undefined) {
    const gone = model.gone.get(`${repository}:${tag}`)
    if (gone === undefined) return
    const to = { digest: parseDigest(gone) }
    await cay.metadata.write('restoreTag', { ...write(repository), windowStart: 0, tag: parseTag(tag), to })
    model.put(repository, tag, gone, at)
  }
}

/** Compares the dry run, the run and the model. */
async function compareRun(cay: CollectedRegistry, retention: Retention, model: Model): Promise<void> {
  const { items } = await retention.test({ expiring: true, limit: 100 })
  const expected = model.expiring(cay.now())
  expect(items.map(({ repository, tag }) => `${repository}:${tag}`).sort()).toEqual(expected)
  const { tags } = await retention.run({ caller: SYSTEM })
  expect(tags).toBe(expected.length)
  for (const { repository, tag, policy, reason } of items) {
    const [line] = (await cay.metadata.history.ofTag(repository, parseTag(tag), 1e9, 1)) ?? []
    expect(line).toMatchObject({ act: 'retention.expire', reason: `policy ${policy}: ${reason}` })
    model.remove(repository, tag)
  }
  for (const repository of REPOSITORIES) {
    const there = await cay.metadata.tags.list(parseRepositoryName(repository), '', 100, cay.now())
    expect((there ?? []).map(String)).toEqual([...model.of(repository).keys()].sort())
  }
}

test('retention: expires what a plain model expires, and what its dry run said, after any acts', async () => {
  await fc.assert(
    fc.asyncProperty(policy, fc.array(act, { minLength: 40, maxLength: 120 }), async (policy, acts) => {
      await using cay = await openCollectedRegistry({
        garbageWindow: { graceMs: DAY, windowMs: 1000 * DAY, untaggedDays: 0 },
      })
      const { log } = openMemoryLog()
      const retention = new Retention({
        metadata: cay.metadata,
        config: { retention: [] },
        tableSources: {},
        log,
        now: cay.now,
        steady: cay.now,
        usage: cay.registry.usage,
      })
      const model = new Model()
      const first = { act: 'policy', name: 'a', policy } as const
      for (const step of [first, ...acts, { act: 'run' } as const]) {
        cay.wait(1000)
        await perform(step, cay, retention, model)
      }
    }),
    { numRuns: 25, endOnFailure: true },
  )
}, 120_000)
