import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { SYSTEM } from '../../src/access/access.ts'
import { parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { Retention } from '../../src/retention/retention.ts'
import { type CollectedRegistry, DAY, openCollectedRegistry } from '../support/collected-registry.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { openMemoryLog } from '../support/memory-log.ts'
import { type Policy, REPOSITORIES, RetentionModel, type Tagged } from '../support/retention-model.ts'
import { CALLER } from '../support/writes.ts'

const COMPANION = `sha256-${'a'.repeat(64)}.sig`
const TAGS = ['v1.2-rc1', 'v1.10', '2.0', 'latest', 'pr-1', 'pr-2', COMPANION]
const COVERED = ['*', 'pr-*', '[v2]*']
const KEPT = ['latest', 'v1.[0-9]*', '?.0', 'none']
const IMAGES = Array.from({ length: 4 }, (_, n) => imageManifest(EMPTY, [], { annotations: { n: `${n}` } }))

type Act =
  | { act: 'push'; repository: string; tag: string; image: number }
  | { act: 'pull'; repository: string; nth: number; by: 'tag' | 'digest' | 'HEAD' }
  | { act: 'delete' | 'undo'; repository: string; nth: number }
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
      includeImmutable: fc.boolean(),
    },
    { requiredKeys: ['repositories', 'tags', 'order', 'keep', 'includeImmutable'] },
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
const undo = fc.record({ act: fc.constant('undo' as const), repository, nth: fc.nat() })
const RUN: Act = { act: 'run' }
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: push },
  {
    weight: 6,
    arbitrary: fc.record({
      act: fc.constant('pull' as const),
      repository,
      nth: fc.nat(),
      by: fc.constantFrom('tag' as const, 'digest' as const, 'HEAD' as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('delete' as const), repository, nth: fc.nat() }) },
  { weight: 2, arbitrary: undo },
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
  { weight: 4, arbitrary: fc.constant(RUN) },
)
/** Between two runs, nothing but the undo makes the second one look at the repository. */
const acts: fc.Arbitrary<Act[]> = fc
  .array(
    fc.oneof(
      { weight: 9, arbitrary: act.map((one) => [one]) },
      { weight: 1, arbitrary: undo.map((one) => [RUN, one, RUN]) },
    ),
    {
      minLength: 40,
      maxLength: 120,
    },
  )
  .map((parts) => parts.flat())

/** Does an act in the registry and in the model. */
async function perform(
  step: Act,
  cay: CollectedRegistry,
  retention: Retention,
  model: RetentionModel,
): Promise<void> {
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
  if (step.act === 'push') return await pushStep(step, cay, model)
  const { repository, act } = step
  const from = act === 'undo' ? model.goneFrom(repository) : model.of(repository)
  const tag = [...from.keys()].sort()[step.nth % Math.max(1, from.size)]
  if (tag === undefined) return
  if (step.act === 'pull') {
    const { digest } = model.of(repository).get(tag) as Tagged
    const name = step.by === 'digest' ? undefined : parseTag(tag)
    const pull = {
      repository: parseRepositoryName(repository),
      tag: name,
      digest: parseDigest(digest),
      account: undefined,
    }
    if (step.by === 'HEAD') cay.registry.usage.resolved(pull)
    else cay.registry.usage.pulled(pull)
    model.pull(repository, tag, step.by === 'digest', at)
  } else if (act === 'undo') {
    const gone = model.goneFrom(repository).get(tag) as string
    const to = { digest: parseDigest(gone) }
    await cay.metadata.write('restoreTag', { ...write(repository), windowStart: 0, tag: parseTag(tag), to })
    model.put(repository, tag, gone, at)
  } else if (!model.immutable.has(repository)) {
    await cay.delete(tag, repository)
    model.remove(repository, tag)
  }
}

async function pushStep(
  { repository, tag, image: nth }: Extract<Act, { act: 'push' }>,
  cay: CollectedRegistry,
  model: RetentionModel,
): Promise<void> {
  const current = model.of(repository).get(tag)
  const image = IMAGES[nth] as (typeof IMAGES)[number]
  await cay.pushBlob(EMPTY, repository)
  if (model.immutable.has(repository) && current && current.digest !== image.digest) return
  await cay.pushManifest(image, [tag], repository)
  model.put(repository, tag, image.digest, cay.now())
  model.pushedAt.set(`${repository}@${image.digest}`, cay.now())
}

/** Compares the dry run, the run and the model. */
async function compareRun(
  cay: CollectedRegistry,
  retention: Retention,
  model: RetentionModel,
): Promise<void> {
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
    fc.asyncProperty(policy, acts, async (policy, acts) => {
      await using cay = await openCollectedRegistry({
        garbageWindow: { graceMs: DAY, windowMs: 1000 * DAY, untaggedDays: 0 },
      })
      const { log } = openMemoryLog()
      const retention = new Retention({
        metadata: cay.metadata,
        config: { retention: [] },
        settingSources: {},
        log,
        now: cay.now,
        steady: cay.now,
        usage: cay.registry.usage,
      })
      const model = new RetentionModel()
      const first = { act: 'policy', name: 'a', policy } as const
      for (const step of [first, ...acts, RUN]) {
        cay.wait(1000)
        await perform(step, cay, retention, model)
      }
    }),
    { numRuns: 25, endOnFailure: true },
  )
}, 120_000)
