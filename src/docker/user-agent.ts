/** A version of Docker, such as `docker/1.9.1 go/go1.4.2 ...` in the User-Agent of its engine. */
export interface DockerVersion {
  major: number
  minor: number
}

/** Returns the version of the Docker engine, or undefined for every other client. */
export function dockerVersion(userAgent: string | null): DockerVersion | undefined {
  const match = /^docker\/(\d{1,4})\.(\d{1,4})(?!\d)/.exec(userAgent ?? '')
  return match ? { major: Number(match[1]), minor: Number(match[2]) } : undefined
}

/** Reports whether this version is older than `major.minor`. */
export function isOlder(version: DockerVersion | undefined, major: number, minor: number): boolean {
  if (version === undefined) return false
  return version.major < major || (version.major === major && version.minor < minor)
}
