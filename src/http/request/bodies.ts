import { BodyReader } from './body-reader.ts'

const MiB = 1024 * 1024

/** The largest body of the JSON surfaces and of forms. */
export const SMALL_BODY_BYTES_MAX = 65_536

/** Readers of bodies, one for each kind of request, so that no kind can use up the memory of the others. */
export interface Bodies {
  manifests: BodyReader
  /** Of those who have not proved who they are: their credentials are in the body. */
  signIn: BodyReader
  /** The admin API's, for those who have. */
  admin: BodyReader
  /** What keeps bodies from being read; undefined when nothing does. */
  problem(): string | undefined
}

export interface BodiesOptions {
  manifestBytesMax: number
  /** Memory for all manifests that are being pushed. */
  bodyBytesMax: number
  /** A body that brings nothing for so long is given up. */
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
