import { expect, test } from 'bun:test'
import { FileIndexes } from '../../src/files/files.ts'
import { parseDigest } from '../../src/oci/reference.ts'

/** Indexes of layers whose work a test ends. */
function held() {
  const began: string[] = []
  const works: PromiseWithResolvers<void>[] = []
  const reader = {
    ask: async ({ layers }: { layers: string[] }) => layers,
    run: async (name: string) => {
      began.push(name)
      const work = Promise.withResolvers<void>()
      works.push(work)
      await work.promise
    },
  }
  const signal = new AbortController().signal
  const jobs = {
    runForReaders: (_: string, __: string, work: (run: object) => Promise<void>) =>
      work({ signal, progress: () => {} }),
  }
  const indexes = new FileIndexes({ reader, jobs } as unknown as ConstructorParameters<typeof FileIndexes>[0])
  let made = 0
  const ensure = (account: string) => {
    const digest = parseDigest(`sha256:${String(++made).padStart(64, '0')}`)
    const ended = indexes.ensure([{ digest, size: 1, open: async () => '' }], account)
    return { digest, ended: ended.catch(({ status }) => status) }
  }
  return { began, works, ensure }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('files: one account has a share of the waiting layers, and the first of another precedes its further ones', async () => {
  const { began, works, ensure } = held()
  const own = Array.from({ length: 5 }, () => ensure('mallory'))
  expect(await own[4]?.ended).toBe(503)
  const other = ensure('alice')
  for (let at = 0; at < 5; at++) {
    while (works.length <= at) await turn()
    works[at]?.resolve()
  }
  expect(await other.ended).toBeUndefined()
  const order = [own[0], other, own[1], own[2], own[3]]
  expect(began).toEqual(order.map((one) => one?.digest ?? ''))
})
