import { Dialog } from './dialog.tsx'

const keys: [key: string, act: string][] = [
  ['/', 'Search'],
  ['↑ ↓', 'Move between rows'],
  ['Enter', 'Open the row'],
  ['x', 'Select the row'],
  ['Esc', 'Close a dialog'],
  ['?', 'Show this help'],
]

/** Lists the keys of the page. */
export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <dl class="keys">
        {keys.map(([key, act]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{act}</dd>
          </div>
        ))}
      </dl>
      <p>
        Everything on this page uses the public API: <a href="/swagger">see its reference</a>.
      </p>
    </Dialog>
  )
}
