/** A platform of the container image and of the packages. */
export interface Platform {
  /** The name in OCI images, and in Debian. */
  architecture: 'amd64' | 'arm64'
  /** The name in RPM packages. */
  machine: string
  /** The released executable. */
  executable: string
  /** Debian's folder of its libraries. */
  triplet: string
}

export const platforms: readonly Platform[] = [
  {
    architecture: 'amd64',
    machine: 'x86_64',
    executable: 'cay-linux-x64',
    triplet: 'x86_64-linux-gnu',
  },
  {
    architecture: 'arm64',
    machine: 'aarch64',
    executable: 'cay-linux-arm64',
    triplet: 'aarch64-linux-gnu',
  },
]
