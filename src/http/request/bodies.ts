import { BodyReader } from './body-reader.ts'

const MiB = 1024 * 1024

/** The largest JSON or form body, in bytes. */
export const SMALL_BODY_BYTES_MAX = 65_536

/** The readers of bodies. Each kind of request has its own, so that it cannot use up the memory of the others. */
export interface Bodies {
  manifests: BodyReader
  /** For requests whose credentials are in the body, so that the client is not authenticated yet. */
  signIn: BodyReader
  /** For authenticated requests to the admin API. */
  admin: BodyReader
  /** Returns why bodies cannot be read; undefined if they can. */
  problem(): string | undefined
}

export interface BodiesOptions {
  manifestBytesMax: number
  /** Memory for all manifests that are being pushed, in bytes. */
  bodyBytesMax: number
  /** How long a body may stall before it is abandoned. */
  stallSecondsMax: number
}

export function openBodies({ manifestBytesMax, bodyBytesMax, stallSecondsMax }: BodiesOptions): Bodies {
  const small = (budgetBytes: number) =>
    new BodyReader({ budgetBytes, largestBytes: SMALL_BODY_BYTES_MAX, stallSecondsMax })
  const readers = {
    manifests: new BodyReader({ budgetBytes: bodyBytesMax, largestBytes: manifestBytesMax, stallSecondsMax }),
    signIn: small(MiB),
    admin: small(4 * MiB),
  }
  return {
    ...readers,
    problem: () =>
      Object.values(readers)
        .map((reader) => reader.problem())
        .find((problem) => problem !== undefined),
  }
}
