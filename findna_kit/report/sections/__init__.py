"""What a page says, heading by heading; each module gives the blocks below one."""
