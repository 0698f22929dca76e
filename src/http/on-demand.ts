import { once } from '../lazily.ts'

/** What answers requests: an app of Elysia, or a dispatcher. */
interface Surface {
  handle(request: Request): Response | Promise<Response>
}

/**
 * Answers by a surface that is loaded and built when its first request comes, which waits for it: whoever never asks
 * for it pays for it neither at the start nor in memory.
 *
 * @param load imports the surface's files by `import()`, so that they are a chunk of their own in the executable
 */
export function onDemand(load: () => Promise<Surface>): (request: Request) => Promise<Response> {
  const surface = once(load)
  return async (request) => (await surface()).handle(request)
}
