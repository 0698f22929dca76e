import { turn } from '../runtime/turn.ts'

/** Handles requests: an Elysia app or a dispatcher. */
interface Surface {
  handle(request: Request): Response | Promise<Response>
}

/**
 * Loads and builds a surface on its first request, which waits for it. A server that never needs it saves the startup
 * time and the memory. Other requests are served between the steps.
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

/** Returns an object whose members are created, each by its function, when they are first read. */
export function lazily<T extends object>(makers: { [K in keyof T]: () => T[K] }): T {
  const made = {} as T
  for (const name of Object.keys(makers) as (keyof T)[]) {
    const get = () => {
      const value = makers[name]()
      Object.defineProperty(made, name, { value, enumerable: true })
      return value
    }
    Object.defineProperty(made, name, { get, enumerable: true, configurable: true })
  }
  return made
}
