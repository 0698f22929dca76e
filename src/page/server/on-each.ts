import { messageOf, revision } from './api.ts'

/** How many requests of one action are in flight at once. */
const IN_FLIGHT_MAX = 4

/**
 * Does the same for each thing, a few at once, until one fails. What is shown is then read again.
 * @throws Error that says how many were done, if there are several.
 */
export async function onEach<T>(things: readonly T[], act: (thing: T) => Promise<unknown>): Promise<void> {
  const queue = [...things]
  let done = 0
  const work = async () => {
    for (let thing = queue.shift(); thing !== undefined; thing = queue.shift()) {
      try {
        await act(thing)
        done++
      } catch (error) {
        queue.length = 0
        throw error
      }
    }
  }
  const workers = await Promise.allSettled(Array.from({ length: IN_FLIGHT_MAX }, work))
  revision.value++
  const failed = workers.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined
  if (failed === undefined) return
  if (things.length === 1) throw failed.reason
  throw new Error(`${done} of ${things.length} were changed: ${messageOf(failed.reason)}`)
}
