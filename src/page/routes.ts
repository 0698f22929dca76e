/** Returns the path of a repository's page, or of a part of it such as `history`. */
export function repositoryPath(name: string, part = ''): string {
  return `/repositories/${name}${part === '' ? '' : `/-/${part}`}`
}

/** Returns the path of a manifest's page, by a tag or a digest. */
export function manifestPath(name: string, reference: string): string {
  return repositoryPath(name, `manifests/${reference}`)
}

/** Returns the path of the files of an image. */
export function filesPath(name: string, reference: string): string {
  return repositoryPath(name, `files/${reference}`)
}

/** Returns the path of the files of a layer. */
export function layerFilesPath(name: string, digest: string): string {
  return repositoryPath(name, `layers/${digest}`)
}

/** What a path below /repositories/ shows. */
export interface RepositoryRoute {
  name: string
  /** The part of the repository's page; empty for its tags. */
  part: string
  /** The rest of the path after the part, such as a reference. */
  rest: string
}

/** Parses a path below /repositories/. No component of a repository's name is "-", so it ends the name. */
export function parseRepositoryPath(path: string): RepositoryRoute {
  const [, name = '', after = ''] = /^\/repositories\/(.*?)(?:\/-\/(.*))?$/.exec(path) ?? []
  const [part = '', ...rest] = after.split('/')
  return { name: decode(name), part, rest: decode(rest.join('/')) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
