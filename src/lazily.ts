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
