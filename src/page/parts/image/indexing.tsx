import { formatBytes, formatCount } from '../../values/format.ts'

/** Says how far the server has read the layers. */
export function Indexing({ of: { done, total } }: { of: { done: number; total?: number | undefined } }) {
  return (
    <div class="empty" role="status">
      <p class="empty-title">{total === undefined ? 'Comparing the files' : 'Reading the layers'}</p>
      {total === undefined ? (
        <p>{formatCount(done)} files so far</p>
      ) : (
        <p>
          <progress value={done} max={Math.max(total, 1)} aria-label="Progress" /> {formatBytes(done)} of{' '}
          {formatBytes(total)}
        </p>
      )}
    </div>
  )
}
