import { ApiError } from './api.ts'

/** How often the page asks whether an index is ready, in milliseconds, besides the time that the server waits. */
const POLL_MS = 300

/**
 * Reads something again until the server has made the index for it. Each answer is also given to `show`.
 * @throws ApiError, also if the page is left meanwhile
 */
export async function untilIndexed<T extends { indexing?: object | undefined }>(
  signal: AbortSignal,
  read: () => Promise<T>,
  show: (answer: T) => void,
): Promise<T> {
  for (;;) {
    const answer = await read()
    show(answer)
    if (answer.indexing === undefined) return answer
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    if (signal.aborted) throw new ApiError(0, 'ABORTED', 'The page was left')
  }
}
