import { once } from '../lazily.ts'

/** What answers requests: an app of Elysia, or a dispatcher. */
interface Surface {
  handle(request: Request): Response | Promise<Response>
}

/**
 * Answers by a surface that is loaded and built when its first request comes, which waits for it: whoever never asks
 * for it pays for it neither at the start nor in memory. Other requests go on between the steps.
 *
 * @param load imports the surface's file by `import()`, so that it is a chunk of its own in the executable
 */
export function onDemand<M>(
  load: () => Promise<M>,
  build: (module: M) => Surface,
): (request: Request) => Promise<Response> {
  const surface = once(async () => {
    const module = await load()
    await turn()
    const built = build(module)
    await turn()
    return built
  })
  return async (request) => (await surface()).handle(request)
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
