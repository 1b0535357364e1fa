"""Classes, drivers, attachments and capacities of volumes."""
