interface TabsProps {
  label: string
  /** The paths with their names. */
  tabs: [path: string, name: string][]
  current: string
}

/** Links between the parts of a page. */
export function Tabs({ label, tabs, current }: TabsProps) {
  return (
    <nav class="tabs" aria-label={label}>
      {tabs.map(([path, name]) => (
        <a key={path} href={path} aria-current={path === current ? 'page' : undefined}>
          {name}
        </a>
      ))}
    </nav>
  )
}
