import { turn } from './turn.ts'

interface Surface {
  handle(request: Request): Response | Promise<Response>
}

/**
 * Loads and builds a surface, such as an Elysia app, on its first request, which waits for it. A server that never needs
 * it saves the startup time and the memory. Other requests are served between the steps.
 *
 * @param load imports the surface's file with `import()`, so that it becomes a separate chunk of the executable
 */
export function onDemand<M>(
  load: () => Promise<M>,
  build: (module: M) => Surface | Promise<Surface>,
): (request: Request) => Promise<Response> {
  const surface = once(async () => {
    const module = await load()
    await turn()
    const built = await build(module)
    await turn()
    return built
  })
  return async (request) => (await surface()).handle(request)
}

/** Returns a function that creates a value on its first call and keeps it. A failed creation is tried again. */
export function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}
