/** What uploads on a local disk may take, and who is told of them. */
export interface UploadOptions {
  /** Shared memory for all uploads together. */
  poolBytes: number
  /** Threads that hash and write. */
  digesters: number
  /** The largest blob. */
  blobBytesMax: number
  /** A body that brings nothing for so long is given up. */
  stallSecondsMax: number
  /** Told when a digester has died: no upload can go on, the process should end. */
  onFailure: (error: Error) => void
  /** Told of each part of a body that is in its file, with its size in bytes. */
  onReceived?: (bytes: number) => void
  /** Called with the name of an upload that was cancelled, has expired, or has become a blob. */
  onEnded?: (name: string) => void
}
