/** Limits and callbacks of uploads on a local disk. */
export interface UploadOptions {
  /** Memory for all uploads together, in bytes. */
  poolBytes: number
  /** How many threads hash and write. */
  digesters: number
  /** The largest blob, in bytes. */
  blobBytesMax: number
  /** How long a body may stall before it is abandoned. */
  stallSecondsMax: number
  /** Called when a digester has crashed. No upload can continue, so the process should end. */
  onFailure: (error: Error) => void
  /** Called for each part of a body that is written, with its size in bytes. */
  onReceived?: (bytes: number) => void
  /** Waits until there is room for bytes of a push that have arrived. Waiting is not a stall. */
  pace?: (bytes: number) => Promise<void> | undefined
  /** Frees space when a push finds the disk full. Resolves to false when there is nothing to free. */
  onDiskFull?: () => Promise<boolean>
  /** Called with the name of an upload that was cancelled, has expired, or has become a blob. */
  onEnded?: (name: string) => void
}
