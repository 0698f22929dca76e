import type { Upload } from '../blob-store.ts'
import { type SessionMeans, UploadSession } from './upload-session.ts'

/** How many uploads keep their file and hash open. The least recently used ones are closed, and read back when used. */
const UPLOADS_OPEN_MAX = 512

/** How many uploads stay open when the server is idle. */
const UPLOADS_OPEN_IDLE_MAX = 16

/** The open uploads, the most recently used one last. */
export class OpenUploads {
  private readonly sessions = new Map<string, UploadSession>()
  private readonly means: SessionMeans
  private readonly onFailure: (error: Error) => void

  /** @param onFailure called when a file cannot be closed */
  constructor(means: SessionMeans, onFailure: (error: Error) => void) {
    this.means = means
    this.onFailure = onFailure
  }

  find(id: string): UploadSession | undefined {
    return this.sessions.get(id)
  }

  list(): MapIterator<UploadSession> {
    return this.sessions.values()
  }

  /** Adds a new upload, which has no file. */
  start(upload: Upload): void {
    this.remember(upload, undefined)
  }

  forget(id: string): void {
    this.sessions.delete(id)
  }

  /** Returns the session of an upload, which may have begun in an earlier process. */
  async get(upload: Upload): Promise<UploadSession> {
    let session = this.sessions.get(upload.id)
    if (session === undefined) {
      const { files } = this.means
      const size = await files.findSize(files.ofUpload(upload))
      session = this.sessions.get(upload.id) ?? this.remember(upload, size)
    }
    this.sessions.delete(upload.id)
    this.sessions.set(upload.id, session)
    return session
  }

  private remember(upload: Upload, fileSize: number | undefined): UploadSession {
    const session = new UploadSession(upload, this.means, fileSize)
    this.sessions.set(upload.id, session)
    this.closeOldest(UPLOADS_OPEN_MAX)
    return session
  }

  /** Closes most uploads. Their objects are few but scattered, and each keeps a free block of memory from being returned. */
  releaseMemory(): void {
    this.closeOldest(UPLOADS_OPEN_IDLE_MAX)
  }

  /** Closes the least recently used uploads that no request uses, until so many are open. */
  private closeOldest(openMax: number): void {
    for (const [id, session] of this.sessions) {
      if (this.sessions.size <= openMax) return
      if (session.isBusy) continue
      this.sessions.delete(id)
      session.close().catch(this.onFailure)
    }
  }
}
