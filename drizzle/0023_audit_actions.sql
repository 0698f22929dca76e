UPDATE `audit` SET `action` = CASE
  WHEN `action` LIKE '%.add' THEN substr(`action`, 1, length(`action`) - 3) || 'create'
  WHEN `action` LIKE '%.remove' THEN substr(`action`, 1, length(`action`) - 6) || 'delete'
  ELSE 'grant.set'
END WHERE `action` LIKE '%.add' OR `action` LIKE '%.remove' OR `action` = 'grant.put';
