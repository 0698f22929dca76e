import { expect, test } from 'bun:test'
import { LargePushes } from '../../src/registry/local-manifests.ts'

/** Writes whose order and ends a test controls. */
function pausing() {
  const rests: PromiseWithResolvers<void>[] = []
  const pushes = new LargePushes(() => {
    const rest = Promise.withResolvers<void>()
    rests.push(rest)
    return rest.promise
  })
  return { pushes, rests }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('large pushes: they are written one at a time, with a rest between, and small ones do not wait', async () => {
  const { pushes, rests } = pausing()
  const written: string[] = []
  const first = Promise.withResolvers<void>()
  const large = ['alice', 'bob'].map((account) =>
    pushes.write(account, 501, async () => {
      written.push(account)
      if (account === 'alice') await first.promise
    }),
  )
  await turn()
  await pushes.write('carol', 500, async () => void written.push('small'))
  expect(written).toEqual(['alice', 'small'])
  first.resolve()
  await large[0]
  await turn()
  expect(written).toEqual(['alice', 'small'])
  rests[0]?.resolve()
  await large[1]
  expect(written).toEqual(['alice', 'small', 'bob'])
})

test('large pushes: an account has two at once, whether they fail or not', async () => {
  const { pushes } = pausing()
  const never = Promise.withResolvers<void>()
  const fail = () => never.promise.then(() => Promise.reject(new Error('it failed')))
  const own = [1, 2].map(() => pushes.write('mallory', 12_000, fail).catch(({ message }) => message))
  const refused = await pushes.write('mallory', 12_000, async () => {}).catch((error) => error)
  expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '5' } })
  expect(() => pushes.check('mallory', 100_000)).toThrow('try again soon')
  pushes.check('mallory', 10_000)
  pushes.check('alice', 100_000)
  const other = pushes.write('alice', 12_000, async () => 'written')
  never.resolve()
  expect(await own[0]).toBe('it failed')
  expect(other).toBeInstanceOf(Promise)
})

test('large pushes: a large manifest is deleted and restored in its turn, and a small one at once', async () => {
  const { pushes } = pausing()
  const never = Promise.withResolvers<void>()
  const pushed = pushes.write('mallory', 12_000, () => never.promise)
  const changed: string[] = []
  const deleted = pushes.change('mallory', 1_000_000, async () => void changed.push('large'))
  await turn()
  await pushes.change('mallory', 1000, async () => void changed.push('small'))
  expect(changed).toEqual(['small'])
  never.resolve()
  await pushed
  expect(deleted).toBeInstanceOf(Promise)
})

test('large pushes: accounts take turns, so that a second one of the same account waits for those of others', async () => {
  const { pushes, rests } = pausing()
  const written: string[] = []
  const accounts = ['mallory', 'mallory', 'alice', 'bob']
  const all = accounts.map((account, at) =>
    pushes.write(account, 501, async () => void written.push(`${account} ${at}`)),
  )
  for (const [at, push] of [all[0], all[2], all[3], all[1]].entries()) {
    await push
    rests[at]?.resolve()
  }
  expect(written).toEqual(['mallory 0', 'alice 2', 'bob 3', 'mallory 1'])
})

test('large pushes: an account with none waiting takes the place of the newest of an account with two', async () => {
  const { pushes } = pausing()
  const never = Promise.withResolvers<void>()
  const push = (account: string) => {
    const pushed = pushes.write(account, 501, () => never.promise)
    return pushed.catch(({ status }) => `${account} ${status}`)
  }
  const first = push('somebody')
  const waiting = ['m1', 'm1', 'm2', 'm2', 'm3', 'm3', 'm4', 'm4'].map(push)
  pushes.check('alice', 100_000)
  const displaced = ['alice', 'bob', 'carol', 'dave'].map(push)
  expect(await Promise.all([waiting[7], waiting[5], waiting[3], waiting[1]])).toEqual([
    'm4 503',
    'm3 503',
    'm2 503',
    'm1 503',
  ])
  expect(await push('erin')).toBe('erin 503')
  expect(() => pushes.check('erin', 100_000)).toThrow('try again soon')
  expect([first, ...displaced]).toHaveLength(5)
})
